/* As much of an Arduino as the exported sketch uses: pins that read a ramp, a clock that leaps, and
 * a main that runs the loop. */
#ifndef ARDUINO_H
#define ARDUINO_H

#include <stdint.h>
#include <stdio.h>

#define A0 14

struct Port {
  void begin(unsigned long rate) { printf("begin %lu\n", rate); }
  void println(const char *text) { printf("println %s\n", text); }
  void println(uint32_t value) { printf("println %lu\n", (unsigned long)value); }
};

static Port Serial;
static uint32_t now_ms = 4294960000u; /* about to overflow */

static uint32_t millis() { return now_ms; }
static int analogRead(int pin) { return 420 + 10 * (pin - A0) + (int)(now_ms / 1000u % 7u) * 30; }
static void analogWrite(int pin, int value) {
  printf("%lu %d %d\n", (unsigned long)now_ms, pin, value);
}

#endif
