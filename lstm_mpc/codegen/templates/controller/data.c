/* @name@: model and tuning. */
#include "@name@.h"

#define R(x) ((@name@_real)(x))

const @name@_model @name@_data = {
{% for key, double, single, alike in members %}
{% if alike %}
  .@key@ = @double@,
{% else %}
#ifdef @NAME@_DOUBLE
  .@key@ = @double@,
#else
  .@key@ = @single@,
#endif
{% endif %}
{% endfor %}
{% for key, count in counts.items() %}
  .@key@ = @count@u,
{% endfor %}
#ifdef @NAME@_DOUBLE
  .crc = @crc.double@
#else
  .crc = @crc.single@
#endif
};
