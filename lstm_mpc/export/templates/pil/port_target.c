/* A Cortex-M in QEMU: files by semihosting, instructions by SysTick, stack by the paint that is
 * left. */
#include "port.h"

#include "semihosting.h"

#define SYSTICK_CONTROL (*(volatile uint32_t *)0xE000E010u)
#define SYSTICK_RELOAD (*(volatile uint32_t *)0xE000E014u)
/* counts down; a write makes it 0, and TOP a tick later; clears WRAPPED */
#define SYSTICK_VALUE (*(volatile uint32_t *)0xE000E018u)
#define SYSTICK_ON 5u /* enabled, no interrupt, clock of the processor */
#define SYSTICK_WRAPPED (1u << 16)
#define SYSTICK_TOP 0xFFFFFFu /* 24 bits */
#define PAINT 0xC0FFEE11u /* what no computation is likely to leave */

extern uint32_t port_stack_low[]; /* lowest word, by the linker script */
static uint32_t *caller; /* stack pointer of who called port_start */
static uint32_t frames, answers;

static inline uint32_t *stack_pointer(void) {
  uint32_t *pointer;
  __asm__ volatile("mov %0, sp" : "=r"(pointer));
  return pointer;
}

static void paint(void) {
  volatile uint32_t *word; /* volatile: a call of memset would stand in the way of its own paint */
  for (word = stack_pointer(); word != port_stack_low;) *--word = PAINT;
}

static uint32_t file(const char *name, uint32_t length, uint32_t mode) {
  const uint32_t block[3] = {(uint32_t)name, mode, length};
  return semihosting(SEMIHOSTING_OPEN, block);
}

int port_open(void) {
  paint();
  SYSTICK_RELOAD = SYSTICK_TOP;
  SYSTICK_CONTROL = SYSTICK_ON;
  frames = file("frames.bin", 10, SEMIHOSTING_READ_BINARY);
  answers = file("answers.bin", 11, SEMIHOSTING_WRITE_BINARY);
  return frames == UINT32_MAX || answers == UINT32_MAX;
}

int port_close(void) {
  return semihosting(SEMIHOSTING_CLOSE, &frames) != 0 ||
         semihosting(SEMIHOSTING_CLOSE, &answers) != 0;
}

int port_read(void *to, uint32_t size) {
  const uint32_t block[3] = {frames, (uint32_t)to, size};
  return semihosting(SEMIHOSTING_READ, block) != 0;
}

int port_write(const void *from, uint32_t size) {
  const uint32_t block[3] = {answers, (uint32_t)from, size};
  return semihosting(SEMIHOSTING_WRITE, block) != 0;
}

void port_start(void) {
  caller = stack_pointer(); /* this function pushes nothing */
  SYSTICK_VALUE = 0;
  __asm__ volatile("" ::: "memory"); /* nothing of the phase moves above */
}

uint32_t port_ticks(void) {
  const uint32_t value = SYSTICK_VALUE;
  return (SYSTICK_CONTROL & SYSTICK_WRAPPED) != 0 ? UINT32_MAX
                                                  : (SYSTICK_TOP + 1u - value) & SYSTICK_TOP;
}

void port_loop(uint32_t turns) {
  __asm__ volatile("1: subs %0, %0, #1\n bne 1b" : "+r"(turns) : : "cc");
}

uint32_t port_stack(void) {
  const uint32_t *word = port_stack_low;
  if (*word != PAINT) return UINT32_MAX;
  while (*word == PAINT) ++word;
  return (uint32_t)caller - (uint32_t)word;
}
