/* The end of an S-function that mex compiles: here, a program that drives two blocks through
 * samples read from stdin.
 *
 * Arguments: the parameter. Each line: measurements and setpoints of block 0, then of block 1.
 * Prints the outputs and status of both.
 */
#include <stdio.h>
#include <stdlib.h>

static void make_room(Place *place) { place->data = calloc((size_t)place->width, sizeof(double)); }

static void place_block(SimStruct *S) {
  int i;
  for (i = 0; i < S->inputs; ++i) make_room(&S->input[i]);
  for (i = 0; i < S->outputs; ++i) make_room(&S->output[i]);
  for (i = 0; i < S->dworks; ++i) make_room(&S->dwork[i]);
}

static int read_inputs(SimStruct *S) {
  int i, j;
  for (i = 0; i < S->inputs; ++i)
    for (j = 0; j < S->input[i].width; ++j)
      if (scanf("%lf", (double *)S->input[i].data + j) != 1) return 0;
  return 1;
}

/* Twice, as in an algebraic loop: what was asked for first must leave no trace. */
static void ask_for_outputs(SimStruct *S) {
  double *first = (double *)S->input[0].data;
  const double right = *first;
  *first += 0.1;
  mdlOutputs(S, 0);
  *first = right;
  mdlOutputs(S, 0);
}

int main(int count, char **words) {
  static SimStruct blocks[2];
  static double values[PLACES];
  int b, j;
  for (j = 1; j < count; ++j) values[j - 1] = atof(words[j]);
  for (b = 0; b < 2; ++b) {
    SimStruct *S = &blocks[b];
    S->parameter.count = (size_t)count - 1;
    S->parameter.is_double = 1;
    S->parameter.values = values;
    mdlInitializeSizes(S);
    if (S->error) {
      puts(S->error);
      return 1;
    }
    mdlInitializeSampleTimes(S);
    place_block(S);
    mdlInitializeConditions(S);
  }
  printf("%g %g %d %d %d\n", blocks[0].Ts, blocks[0].offset,
         blocks[0].input[0].feedthrough && blocks[0].input[1].feedthrough,
         blocks[0].input[0].contiguous && blocks[0].input[1].contiguous,
         blocks[0].output[1].type == SS_UINT32);
  while (read_inputs(&blocks[0]) && read_inputs(&blocks[1])) {
    for (b = 0; b < 2; ++b) ask_for_outputs(&blocks[b]);
    for (b = 0; b < 2; ++b) {
      for (j = 0; j < blocks[b].output[0].width; ++j)
        printf("%.17g ", ((double *)blocks[b].output[0].data)[j]);
      printf("%u ", (unsigned)*(uint32_T *)blocks[b].output[1].data);
      mdlUpdate(&blocks[b], 0);
    }
    puts("");
  }
  for (b = 0; b < 2; ++b) mdlTerminate(&blocks[b]);
  return 0;
}
