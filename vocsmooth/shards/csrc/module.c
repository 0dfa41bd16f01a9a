/* What makes a Python extension of the library, so that it is built, packed and found as one. Its
 * functions are called through ctypes (see native.py): the module itself is empty. */
#include <Python.h>

#include "native.h"

EXPORT const int native_abi = NATIVE_ABI;

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_native", NULL, -1, NULL,
                                    NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModule_Create(&module);
}
