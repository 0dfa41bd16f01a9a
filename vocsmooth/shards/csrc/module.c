/* What makes a Python extension of the library, so that it is built, packed and found as one. Its
 * functions are called through ctypes (see windows.py): the module itself is empty. */
#include <Python.h>

#include "windows.h"

EXPORT const int windows_abi = WINDOWS_ABI;

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_windows", NULL, -1, NULL,
                                    NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__windows(void)
{
    return PyModule_Create(&module);
}
