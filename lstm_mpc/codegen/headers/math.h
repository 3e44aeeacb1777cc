/* What the self-test asks of the C library, for a compiler without the headers of a system. */
#ifndef LSTM_MPC_MATH_H
#define LSTM_MPC_MATH_H
#define NAN (0.0f / 0.0f)
double fabs(double x);
#define isnan(x) ((x) != (x))
#endif
