/* What the generated C asks of the C library, for a compiler without the headers of a system. */
#ifndef LSTM_MPC_STRING_H
#define LSTM_MPC_STRING_H
#include <stddef.h>
int strcmp(const char *a, const char *b);
void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);
#endif
