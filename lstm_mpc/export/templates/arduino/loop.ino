/*
 * @name@ in a control loop: one sample every @Ts | number@ s.
 *
 * Measured at the analogue pins from A0 on:
{% for signal in measurements %}
@signal | comment(" *   ")@
{% endfor %}
{% if known %}
 * and, of the measured inputs, at those after them:
{% for signal in known %}
@signal | comment(" *   ")@
{% endfor %}
{% endif %}
 * The inputs of the plant, as duty cycles at pins 9, 10, ...:
{% for signal in inputs %}
@signal | comment(" *   ")@
{% endfor %}
 * measure and actuate below are examples: put your own sensor and actuator in. A status that is not
 * 0 is printed in words at the serial port.
 */
#include <@name@.h>

static const uint32_t PERIOD = (uint32_t)(1000.0 * @NAME@_TS + 0.5); /* [ms] */
/* Inputs in force before the first sample, and setpoints. */
static const @name@_real BEFORE[@NAME@_NU] = {@start | numbers@};
static const @name@_real SETPOINT[@NAME@_NY] = {@setpoint | numbers@};

static const char *const MEANING[] = { /* of the bits of the status, the lowest first */
{% for meaning in meanings %}
  @meaning | c_string@,
{% endfor %}
};

static @name@_state state;
static @name@_work work;
static uint32_t due; /* [ms] */

static void measure(@name@_real y[@NAME@_NY]) {
  for (int j = 0; j < @NAME@_NY; ++j) {
    const @name@_real normalised = (@name@_real)analogRead(A0 + j) / 1023 * 2 - 1;
    y[j] = @name@_data.y_mid[j] + @name@_data.y_span[j] * normalised;
  }
}

{% if known %}
/* The measured inputs, held over the rows that are foreseen. */
static void measure_inputs(@name@_real known[@NAME@_FORESEEN * @NAME@_NM]) {
  for (int j = 0; j < @NAME@_FORESEEN * @NAME@_NM; ++j) {
    const int i = j % @NAME@_NM;
    const @name@_real share = (@name@_real)analogRead(A0 + @NAME@_NY + i) / 1023;
    const @name@_real low = @name@_data.measured_low[i], high = @name@_data.measured_high[i];
    known[j] = low + share * (high - low);
  }
}

{% endif %}
static void actuate(const @name@_real u[@NAME@_NU]) {
  for (int j = 0; j < @NAME@_NU; ++j) {
    const @name@_real low = @name@_data.u_low[j], high = @name@_data.u_high[j];
    analogWrite(9 + j, (int)(255 * (u[j] - low) / (high - low)));
  }
}

static void tell(uint32_t status) {
  for (unsigned bit = 0; bit < sizeof MEANING / sizeof MEANING[0]; ++bit) {
    if (status >> bit & 1u) Serial.println(MEANING[bit]);
  }
}

void setup() {
  @name@_real y[@NAME@_NY];
{% if known %}
  @name@_real known[@NAME@_FORESEEN * @NAME@_NM];
{% endif %}
  Serial.begin(115200);
  measure(y);
{% if known %}
  measure_inputs(known);
  tell(@name@_init(&@name@_data, &state, y, BEFORE, known));
{% else %}
  tell(@name@_init(&@name@_data, &state, y, BEFORE));
{% endif %}
  @name@_prepare(&@name@_data, &state, &work);
  due = millis();
}

void loop() {
  @name@_real y[@NAME@_NY], reference[@NAME@_REFERENCES * @NAME@_NY], u[@NAME@_NU];
  if ((int32_t)(millis() - due) < 0) return; /* right across the overflow of millis, too */
  do due += PERIOD;
  while ((int32_t)(millis() - due) >= 0); /* a sample that was missed is not made up for */
  /* One row of setpoints; with preview several: now, next sample, ... */
  for (int j = 0; j < @NAME@_REFERENCES * @NAME@_NY; ++j) reference[j] = SETPOINT[j % @NAME@_NY];
  measure(y);
{% if known %}
  @name@_real known[@NAME@_FORESEEN * @NAME@_NM];
  measure_inputs(known);
  const uint32_t status =
      @name@_feedback(&@name@_data, &state, &work, y, reference, known, u);
{% else %}
  const uint32_t status = @name@_feedback(&@name@_data, &state, &work, y, reference, u);
{% endif %}
  actuate(u);
  tell(status);
  /* from here on there is time until the next sample */
  @name@_advance(&@name@_data, &state, &work);
  @name@_prepare(&@name@_data, &state, &work);
}
