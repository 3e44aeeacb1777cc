/* What the self-test asks of the C library, for a compiler without the headers of a system. */
#ifndef LSTM_MPC_STDIO_H
#define LSTM_MPC_STDIO_H
int printf(const char *format, ...);
#endif
