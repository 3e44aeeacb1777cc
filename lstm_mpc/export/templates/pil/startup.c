/*
 * From reset to main on a Cortex-M: floating point on, memory made ready. Exceptions end the run.
 * Also the four functions that GCC may call wherever it copies or compares, since no C library is
 * linked.
 */
#include <stddef.h>
#include <stdint.h>

#include "port.h"
#include "semihosting.h"

extern uint32_t startup_stack_top[], startup_data_load[], startup_data[], startup_data_end[],
    startup_bss[], startup_bss_end[];

int main(void);
void startup_reset(void);
void startup_memory(void);
void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);
int memcmp(const void *one, const void *other, size_t size);

/* Written in assembly: a compiler is free to use float registers in any C function, which faults as
 * long as they are off. */
__attribute__((naked, noreturn)) void startup_reset(void) {
  __asm__ volatile(
#ifdef __ARM_FP
      "movw r0, #0xED88\n" /* CPACR: full access to coprocessors 10 and 11 */
      "movt r0, #0xE000\n"
      "ldr r1, [r0]\n"
      "orr r1, r1, #0xF00000\n"
      "str r1, [r0]\n"
      "dsb\n"
      "isb\n"
#endif
      "b startup_memory\n");
}

void startup_memory(void) {
  volatile uint32_t *word; /* volatile: the loops stay loops, and stay in order */
  const uint32_t *from = startup_data_load;
  for (word = startup_data; word != startup_data_end; ++word) *word = *from++;
  for (word = startup_bss; word != startup_bss_end; ++word) *word = 0;
  semihosting_exit((uint32_t)main());
}

static void fault(void) { semihosting_exit(PORT_FAULT); }

typedef struct {
  uint32_t *stack;
  /* reset, NMI, the faults, SVC, debug, PendSV, SysTick; interrupts stay off */
  void (*handlers[15])(void);
} vectors;

__attribute__((used, section(".vectors"))) static const vectors table = {
    startup_stack_top,
    {startup_reset, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault,
     fault, fault, fault}};

/* The empty assembly keeps GCC from making each loop a call of the function it stands in. */
void *memcpy(void *restrict to, const void *restrict from, size_t size) {
  unsigned char *t = to;
  const unsigned char *f = from;
  while (size-- > 0) {
    *t++ = *f++;
    __asm__ volatile("" ::: "memory");
  }
  return to;
}

void *memmove(void *to, const void *from, size_t size) {
  unsigned char *t = to;
  const unsigned char *f = from;
  if ((uint32_t)to <= (uint32_t)from) return memcpy(to, from, size);
  while (size-- > 0) {
    t[size] = f[size];
    __asm__ volatile("" ::: "memory");
  }
  return to;
}

void *memset(void *to, int value, size_t size) {
  unsigned char *t = to;
  while (size-- > 0) {
    *t++ = (unsigned char)value;
    __asm__ volatile("" ::: "memory");
  }
  return to;
}

int memcmp(const void *one, const void *other, size_t size) {
  const unsigned char *a = one, *b = other;
  for (; size > 0; --size, ++a, ++b) {
    if (*a != *b) return *a < *b ? -1 : 1;
  }
  return 0;
}
