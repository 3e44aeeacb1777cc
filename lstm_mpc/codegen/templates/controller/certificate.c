/* -- what is checked of the model -------------------------------------------------------------- */

static uint32_t crc_of(const model_t *model) {
  const uint8_t *byte = (const uint8_t *)model;
  uint32_t crc = 0xFFFFFFFFu, k, bit;
  for (k = 0u; k < (uint32_t)offsetof(model_t, crc); ++k) {
    crc ^= byte[k];
    for (bit = 0u; bit < 8u; ++bit) {
      crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1u)));
    }
  }
  return ~crc;
}

/* Sum of |w_j|, and of |w_j v_j| where there is a v. */
OUT_OF_LINE static real absolute(const real *w, const real *v, uint32_t count) {
  real sum = R(0.0);
  uint32_t j;
  for (j = 0u; j < count; ++j) {
    sum = sum + magnitude(w[j]) * (v != NULL ? v[j] : R(1.0));
  }
  return sum;
}

void @name@_margins(const model_t *model, real *iss, real *delta_iss) {
  const real *w = model->weights, *v = model->witness;
  real radius = model->radius;
  uint32_t layer, i, j, g, width = @NW@;
  *iss = R(1.0);
  *delta_iss = R(1.0);
  for (layer = 0u; layer < LAYERS; ++layer) {
    const uint32_t nx = CELLS(layer), row = width + nx + 1u, next = nx * row;
    const real *v_xi = &v[nx];
    real top[3] = {R(0.0), R(0.0), R(0.0)}, U_c = R(0.0);
    for (i = 0u; i < nx; ++i) {
      real gate[4], x, a, column_sum = R(0.0);
      const real *U = &w[i * row + width];
      for (g = 0u; g < 4u; ++g) {
        const real *w_g = &w[g * next + i * row], b = w_g[row - 1u];
        const real sum = radius * absolute(w_g, NULL, width) + absolute(&w_g[width], NULL, nx);
        gate[g] = g < 3u ? sigmoid(sum + b) : tanh_of(sum + magnitude(b));
        if (g < 3u) {
          top[g] = maximum(top[g], sum + magnitude(b));
        }
      }
      for (j = 0u; j < nx; ++j) {
        column_sum = column_sum + magnitude(w[3u * next + j * row + width + i]);
      }
      U_c = maximum(U_c, column_sum);
      x = gate[1] * gate[3] / (R(1.0) - gate[0]);
      a = R(0.25) * (x * absolute(U, v_xi, nx) + gate[3] * absolute(&U[next], v_xi, nx)) +
          gate[1] * absolute(&U[3u * next], v_xi, nx);
      a = a + gate[0] * v[i];
      *delta_iss = minimum(*delta_iss, R(1.0) - a / v[i]);
      a = gate[2] * a + R(0.25) * tanh_of(x) * absolute(&U[2u * next], v_xi, nx);
      *delta_iss = minimum(*delta_iss, R(1.0) - a / v_xi[i]);
    }
    *iss = minimum(*iss, R(1.0) - (R(1.0) + sigmoid(top[2])) *
                                      maximum(sigmoid(top[0]), sigmoid(top[1]) * U_c));
    w = &w[4u * next];
    v = &v_xi[nx];
    width = nx;
    radius = R(1.0);
  }
}

{# R6: a model whose checksum or margins fail is refused, and the input is the safe one #}
uint32_t @name@_verify(const model_t *model) {
  real iss, delta_iss;
  /* margins say nothing of such weights */
  if (!all_finite(model->weights,
                  (uint32_t)offsetof(model_t, sqp_iterations) / (uint32_t)sizeof(real))) {
    return @NAME@_REFUSED;
  }
  @name@_margins(model, &iss, &delta_iss);
  return crc_of(model) == model->crc && iss > @NAME@_ISS_FLOOR && delta_iss > @NAME@_DELTA_ISS_FLOOR
             ? 0u
             : @NAME@_REFUSED;
}
