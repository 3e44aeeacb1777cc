/* What the generated C asks of the C library, for a compiler without the headers of a system. */
#ifndef LSTM_MPC_STDLIB_H
#define LSTM_MPC_STDLIB_H
#include <stddef.h>
void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void free(void *memory);
#endif
