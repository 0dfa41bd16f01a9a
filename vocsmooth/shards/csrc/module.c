/* What makes a Python extension of the library, so that it is built, packed and found as one. Its
 * functions are called through ctypes (see native.py): the module itself is empty. */
#include <Python.h>

#include "native.h"

EXPORT const int native_abi = NATIVE_ABI;

LAYOUT(Map, FIELD(Map, field), FIELD(Map, pixel), FIELD(Map, starts), FIELD(Map, target));

LAYOUT(Task, FIELD(Task, count), FIELD(Task, rows), FIELD(Task, columns), FIELD(Task, shards),
       FIELD(Task, records), FIELD(Task, names), FIELD(Task, fields), FIELD(Task, name_bytes),
       FIELD(Task, folder), FIELD(Task, page), FIELD(Task, ask_system), FIELD(Task, widths),
       FIELD(Task, tops), FIELD(Task, lefts), FIELD(Task, maps), FIELD(Task, maps_count));

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_native", NULL, -1, NULL,
                                    NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModule_Create(&module);
}
