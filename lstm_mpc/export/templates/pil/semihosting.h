/* Arm semihosting: a breakpoint that the debugger, here QEMU, answers. Operation in r0, its
 * argument or block in r1, answer in r0. */
#ifndef SEMIHOSTING_H
#define SEMIHOSTING_H

#include <stdint.h>

#define SEMIHOSTING_OPEN 0x01u /* name, mode, length of name: handle or -1 */
#define SEMIHOSTING_CLOSE 0x02u /* handle: 0 or -1 */
#define SEMIHOSTING_WRITE 0x05u /* handle, from, size: bytes not written */
#define SEMIHOSTING_READ 0x06u /* handle, to, size: bytes not read */
#define SEMIHOSTING_EXIT 0x20u /* reason, exit code */

#define SEMIHOSTING_READ_BINARY 1u /* modes of OPEN, as fopen's "rb" and "wb" */
#define SEMIHOSTING_WRITE_BINARY 5u
#define SEMIHOSTING_APPLICATION_EXIT 0x20026u /* the only reason that carries an exit code */

static inline uint32_t semihosting(uint32_t operation, const void *block) {
  register uint32_t r0 __asm__("r0") = operation;
  register const void *r1 __asm__("r1") = block;
  __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}

static inline void semihosting_exit(uint32_t code) {
  const uint32_t block[2] = {SEMIHOSTING_APPLICATION_EXIT, code};
  for (;;) (void)semihosting(SEMIHOSTING_EXIT, block);
}

#endif
