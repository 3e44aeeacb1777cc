#include "@name@.h"

int @name@_graph_step(const double** arg, double** res, int* iw, double* w, int mem);
int @name@_graph_output(const double** arg, double** res, int* iw, double* w, int mem);

void @name@_init(double state[@NAME@_STATES]) {
  static const double start[@NAME@_STATES] = {@start | numbers@};
  int i;
  for (i = 0; i < @NAME@_STATES; ++i) state[i] = start[i];
}

void @name@_step(double state[@NAME@_STATES], const double u[@NAME@_INPUTS]) {
  double next[@NAME@_STATES];
  const double* arg[3];
  double* res[1];
  int i;
  arg[0] = state;
  arg[1] = u;
  arg[2] = 0;
  res[0] = next;
  (void)@name@_graph_step(arg, res, 0, 0, 0);
  for (i = 0; i < @NAME@_STATES; ++i) state[i] = next[i];
}

void @name@_output(const double state[@NAME@_STATES], double y[@NAME@_OUTPUTS]) {
  const double* arg[1];
  double* res[1];
  arg[0] = state;
  res[0] = y;
  (void)@name@_graph_output(arg, res, 0, 0, 0);
}
