/* -- the outputs along a plan ------------------------------------------------------------------ */

/* The input `v` with its disturbance, in `sum` where there is one. */
static const real *with_disturbance(const state_t *state, const real v[@NW@], real sum[@NW@]) {
#if KALMAN
  copy(sum, v, @NW@);
  add_scaled(sum, R(1.0), &state->estimate[NCHI], NU);
  return sum;
#else
  (void)state;
  (void)sum;
  return v;
#endif
}

/* The input that arrives at the network in sample `k`, of `block`, under `plan`; in `sum` where it
 * is not of one block. */
static const real *arriving(const state_t *state, const real *plan, uint32_t block, uint32_t k,
                            real sum[@NW@]) {
#if HISTORY > 0
  uint32_t i;
  (void)block;
  for (i = 0u; i < NU; ++i) {
    const uint32_t delay = extra_delay[i];
    sum[i] = k < delay ? state->input_history[(HISTORY + k - delay) * @NW@ + i]
                       : plan[ROW_LENGTH(k - delay) - NU + i];
  }
{% if measured %}
  for (i = NU; i < NW; ++i) {
    const uint32_t delay = extra_delay[i];
    sum[i] = k < delay ? state->input_history[(HISTORY + k - delay) * NW + i]
                       : state->measured[(FORESEEN > 1 ? k - delay : 0u) * NM + i - NU];
  }
{% endif %}
  return sum;
{% if measured %}
#else
  copy(sum, &plan[block * NU], NU);
  copy(&sum[NU], &state->measured[(FORESEEN > 1 ? k : 0u) * NM], NM);
  return sum;
#endif
}
{% else %}
#else
  (void)state;
  (void)k;
  (void)sum;
  return &plan[block * NU];
#endif
}
{% endif %}

/* Does variable `j`, of a block that has begun, arrive in sample `k` of `block`? */
static bool arrives(uint32_t block, uint32_t k, uint32_t j) {
#if HISTORY > 0
  const uint32_t delay = extra_delay[j % NU];
  (void)block;
  return k >= delay && ROW_LENGTH(k - delay) - NU == j - j % NU;
#else
  (void)k;
  return j >= block * NU;
#endif
}

{% if terminal %}
/* The outputs along `plan` into `outputs`, and its end: state and input. */
{% else %}
/* The outputs along `plan` into `outputs`. */
{% endif %}
static void simulate(const context *c, const real *plan, real outputs[PREDICTED]) {
{% if blocked %}
  const bool each = plan == c->state->closed; /* a plan without blocks */
{% endif %}
  real *chi = c->work->chi, sum[@NW@];
  uint32_t block, k;
  copy(chi, c->state->chi, NCHI);
  for (block = 0u; block < BLOCKS; ++block) {
    for (k = START(block); k < START(block + 1u); ++k) {
      advance_chi(c->model, chi,
{% if blocked %}
                  with_disturbance(c->state, arriving(c->state, plan, each ? k : block, k, sum), sum),
                  NULL);
{% else %}
                  with_disturbance(c->state, arriving(c->state, plan, block, k, sum), sum), NULL);
{% endif %}
      output(c->model, chi, &outputs[k * NY]);
    }
  }
{% if terminal %}
  copy(&outputs[N * NY], chi, NCHI);
{% if blocked %}
  copy(&outputs[N * NY + NCHI], &plan[(each ? N * NU : NV) - NU], NU);
{% else %}
  copy(&outputs[N * NY + NCHI], &plan[NV - NU], NU);
{% endif %}
{% endif %}
}
