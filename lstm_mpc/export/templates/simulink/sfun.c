/*
 * @name@_sfun: the controller @name@ as a level-2 S-function for Simulink.
 *
 *   mex @name@_sfun.c @sources | words@
 *
 * Input 1    measurements
{% for signal in measurements %}
@signal | comment(" *              ")@
{% endfor %}
 * Input 2    their setpoints; with preview @NAME@_REFERENCES rows of them: now, next sample, ...
{% if known %}
 * Input 3    measured inputs; with a forecast @NAME@_FORESEEN rows of them
{% for signal in known %}
@signal | comment(" *              ")@
{% endfor %}
{% endif %}
 * Output 1   inputs of the plant
{% for signal in inputs %}
@signal | comment(" *              ")@
{% endfor %}
 * Output 2   status, uint32: 0, or a sum of the codes in @name@.h
 * Parameter  the inputs in force before the first sample, in the order of output 1
 *
 * One sample every @NAME@_TS seconds. The outputs follow the measurements of the same instant. All
 * memory is DWork: it is saved with the simulation state, and several blocks in one model are
 * independent. The state moves in mdlUpdate only, however often the outputs are asked for.
 */
#define S_FUNCTION_NAME @name@_sfun
#define S_FUNCTION_LEVEL 2

#include "simstruc.h"
#include "@name@.h"

enum { Y, SETPOINT, @"KNOWN, " | raw if known else ""@IN_PORTS };
enum { U, STATUS, OUT_PORTS };
enum { STATE, NEXT, WORK, BEGUN, DWORKS };

/* Vectors of doubles are aligned for every structure. */
#define DOUBLES(type) ((int_T)((sizeof(type) + sizeof(real_T) - 1) / sizeof(real_T)))

static void dwork(SimStruct *S, int_T index, int_T width, DTypeId type) {
  ssSetDWorkWidth(S, index, width);
  ssSetDWorkDataType(S, index, type);
}

static void mdlInitializeSizes(SimStruct *S) {
  int_T i;
  ssSetNumSFcnParams(S, 1);
  if (ssGetNumSFcnParams(S) != ssGetSFcnParamsCount(S)) return; /* Simulink says so */
#ifdef MATLAB_MEX_FILE
  if (mxGetNumberOfElements(ssGetSFcnParam(S, 0)) != @NAME@_NU ||
      !mxIsDouble(ssGetSFcnParam(S, 0))) {
    ssSetErrorStatus(S,
                     "@name@_sfun: the parameter needs @inputs | length@ number(s), "
                     "the inputs in force before the first sample");
    return;
  }
#endif
  ssSetSFcnParamTunable(S, 0, 0);
  if (!ssSetNumInputPorts(S, IN_PORTS) || !ssSetNumOutputPorts(S, OUT_PORTS)) return;
  for (i = 0; i < IN_PORTS; ++i) {
{% if known %}
    ssSetInputPortWidth(S, i,
                        i == SETPOINT ? @NAME@_REFERENCES * @NAME@_NY
                        : i == KNOWN  ? @NAME@_FORESEEN * @NAME@_NM
                                      : @NAME@_NY);
{% else %}
    ssSetInputPortWidth(S, i, i == SETPOINT ? @NAME@_REFERENCES * @NAME@_NY : @NAME@_NY);
{% endif %}
    ssSetInputPortRequiredContiguous(S, i, 1);
    ssSetInputPortDirectFeedThrough(S, i, 1);
  }
  ssSetOutputPortWidth(S, U, @NAME@_NU);
  ssSetOutputPortWidth(S, STATUS, 1);
  ssSetOutputPortDataType(S, STATUS, SS_UINT32);
  ssSetNumSampleTimes(S, 1);
  ssSetNumDWork(S, DWORKS);
  dwork(S, STATE, DOUBLES(@name@_state), SS_DOUBLE);
  dwork(S, NEXT, DOUBLES(@name@_state), SS_DOUBLE);
  dwork(S, WORK, DOUBLES(@name@_work), SS_DOUBLE);
  dwork(S, BEGUN, 1, SS_UINT32);
  ssSetSimStateCompliance(S, USE_DEFAULT_SIM_STATE);
  ssSetOptions(S, SS_OPTION_EXCEPTION_FREE_CODE);
}

static void mdlInitializeSampleTimes(SimStruct *S) {
  ssSetSampleTime(S, 0, @NAME@_TS);
  ssSetOffsetTime(S, 0, 0.0);
}

#define MDL_INITIALIZE_CONDITIONS
static void mdlInitializeConditions(SimStruct *S) {
  /* at the start, and when an enabled subsystem resets its states */
  *(uint32_T *)ssGetDWork(S, BEGUN) = 0;
}

static void mdlOutputs(SimStruct *S, int_T tid) {
  const real_T *measured = ssGetInputPortRealSignal(S, Y),
               *wanted = ssGetInputPortRealSignal(S, SETPOINT);
  @name@_state *state = (@name@_state *)ssGetDWork(S, NEXT);
  @name@_work *work = (@name@_work *)ssGetDWork(S, WORK);
  uint32_T status = 0;
  @name@_real y[@NAME@_NY], reference[@NAME@_REFERENCES * @NAME@_NY], u[@NAME@_NU];
{% if known %}
  const real_T *signals = ssGetInputPortRealSignal(S, KNOWN);
  @name@_real known[@NAME@_FORESEEN * @NAME@_NM];
{% endif %}
  int_T j;
  UNUSED_ARG(tid);
{% if known %}
  for (j = 0; j < @NAME@_FORESEEN * @NAME@_NM; ++j) known[j] = (@name@_real)signals[j];
{% endif %}
  for (j = 0; j < @NAME@_NY; ++j) y[j] = (@name@_real)measured[j];
  for (j = 0; j < @NAME@_REFERENCES * @NAME@_NY; ++j) reference[j] = (@name@_real)wanted[j];
  for (j = 0; j < @NAME@_NU; ++j) u[j] = (@name@_real)mxGetPr(ssGetSFcnParam(S, 0))[j];
  if (*(uint32_T *)ssGetDWork(S, BEGUN)) {
    *state = *(const @name@_state *)ssGetDWork(S, STATE);
  } else {
    status = @name@_init(&@name@_data, state, y, u@", known" | raw if known else ""@);
  }
  @name@_prepare(&@name@_data, state, work);
  status |= @name@_feedback(&@name@_data, state, work, y, reference, @"known, " | raw if known else ""@u);
  for (j = 0; j < @NAME@_NU; ++j) ssGetOutputPortRealSignal(S, U)[j] = (real_T)u[j];
  *(uint32_T *)ssGetOutputPortSignal(S, STATUS) = status;
}

#define MDL_UPDATE
static void mdlUpdate(SimStruct *S, int_T tid) {
  @name@_state *state = (@name@_state *)ssGetDWork(S, NEXT);
  UNUSED_ARG(tid);
  @name@_advance(&@name@_data, state, (@name@_work *)ssGetDWork(S, WORK));
  *(@name@_state *)ssGetDWork(S, STATE) = *state;
  *(uint32_T *)ssGetDWork(S, BEGUN) = 1;
}

static void mdlTerminate(SimStruct *S) { UNUSED_ARG(S); }

#ifdef MATLAB_MEX_FILE
#include "simulink.c"
#else
#include "cg_sfun.h"
#endif
