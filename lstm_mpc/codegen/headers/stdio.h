/* What the generated C asks of the C library, for a compiler without the headers of a system. */
#ifndef LSTM_MPC_STDIO_H
#define LSTM_MPC_STDIO_H
#include <stddef.h>
int printf(const char *format, ...);
int snprintf(char *text, size_t size, const char *format, ...);
#endif
