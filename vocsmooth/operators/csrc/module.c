/* What makes a Python extension of the library, so that it is built, packed and found as one. Its
 * functions are called through ctypes (see interface.py): the module itself is empty. */
#include <Python.h>

#include "kernels.h"

EXPORT const int kernels_abi = KERNELS_ABI;

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_kernels", NULL, -1, NULL,
                                    NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__kernels(void)
{
    return PyModule_Create(&module);
}
