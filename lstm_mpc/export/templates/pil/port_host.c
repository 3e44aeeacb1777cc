/* The desktop: files by stdio; neither instructions nor stack are counted. */
#include "port.h"

#include <stdio.h>

static FILE *frames, *answers;

int port_open(void) {
  frames = fopen("frames.bin", "rb");
  answers = fopen("answers.bin", "wb");
  return frames == NULL || answers == NULL;
}

int port_close(void) { return fclose(frames) + fclose(answers); }

int port_read(void *to, uint32_t size) { return fread(to, 1, size, frames) != size; }

int port_write(const void *from, uint32_t size) { return fwrite(from, 1, size, answers) != size; }

void port_start(void) {}

uint32_t port_ticks(void) { return 0; }

void port_loop(uint32_t turns) { (void)turns; }

uint32_t port_stack(void) { return 0; }
