/* As much of Simulink's SimStruct as the exported S-function uses, so that a test can compile and
 * drive it. */
#ifndef SIMSTRUC_H
#define SIMSTRUC_H

#include <stddef.h>
#include <stdint.h>

#define PLACES 4
#define UNUSED_ARG(argument) (void)(argument)
enum { SS_DOUBLE, SS_UINT32 };
enum { USE_DEFAULT_SIM_STATE = 1 };
#define SS_OPTION_EXCEPTION_FREE_CODE 1u

typedef double real_T;
typedef int int_T;
typedef uint32_t uint32_T;
typedef int DTypeId;

typedef struct {
  size_t count;
  int is_double;
  double *values;
} mxArray;

typedef struct {
  int width, contiguous, feedthrough;
  DTypeId type;
  void *data;
} Place;

typedef struct {
  int parameters, inputs, outputs, times, dworks, compliance, tunable;
  unsigned options;
  double Ts, offset;
  const char *error;
  mxArray parameter;
  Place input[PLACES], output[PLACES], dwork[PLACES];
} SimStruct;

#define mxGetNumberOfElements(array) ((array)->count)
#define mxIsDouble(array) ((array)->is_double)
#define mxGetPr(array) ((array)->values)
#define ssSetNumSFcnParams(S, n) ((S)->parameters = (n))
#define ssGetNumSFcnParams(S) ((S)->parameters)
#define ssGetSFcnParamsCount(S) 1
#define ssGetSFcnParam(S, i) (&(S)->parameter + (i))
#define ssSetSFcnParamTunable(S, i, on) ((S)->tunable = (i) + (on))
#define ssSetErrorStatus(S, text) ((S)->error = (text))
#define ssSetNumInputPorts(S, n) ((S)->inputs = (n))
#define ssSetNumOutputPorts(S, n) ((S)->outputs = (n))
#define ssSetInputPortWidth(S, i, n) ((S)->input[i].width = (n))
#define ssSetInputPortRequiredContiguous(S, i, on) ((S)->input[i].contiguous = (on))
#define ssSetInputPortDirectFeedThrough(S, i, on) ((S)->input[i].feedthrough = (on))
#define ssSetOutputPortWidth(S, i, n) ((S)->output[i].width = (n))
#define ssSetOutputPortDataType(S, i, kind) ((S)->output[i].type = (kind))
#define ssSetNumSampleTimes(S, n) ((S)->times = (n))
#define ssSetNumDWork(S, n) ((S)->dworks = (n))
#define ssSetDWorkWidth(S, i, n) ((S)->dwork[i].width = (n))
#define ssSetDWorkDataType(S, i, kind) ((S)->dwork[i].type = (kind))
#define ssSetSimStateCompliance(S, kind) ((S)->compliance = (kind))
#define ssSetOptions(S, set) ((S)->options = (set))
#define ssSetSampleTime(S, i, t) ((S)->Ts = (t) + (i))
#define ssSetOffsetTime(S, i, t) ((S)->offset = (t) + (i))
#define ssGetDWork(S, i) ((S)->dwork[i].data)
#define ssGetInputPortRealSignal(S, i) ((const real_T *)(S)->input[i].data)
#define ssGetOutputPortRealSignal(S, i) ((real_T *)(S)->output[i].data)
#define ssGetOutputPortSignal(S, i) ((S)->output[i].data)

#endif
