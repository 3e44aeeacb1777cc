/* What the generated C asks of the C library, for a compiler without the headers of a system. */
#ifndef LSTM_MPC_MATH_H
#define LSTM_MPC_MATH_H
#define NAN (0.0f / 0.0f)
#define INFINITY (1.0f / 0.0f)
#define isnan(x) ((x) != (x))
double exp(double x);
double fabs(double x);
double fmax(double x, double y);
double fmin(double x, double y);
double tanh(double x);
#endif
