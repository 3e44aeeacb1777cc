/*
 * What the replay needs of the machine it runs on: port_host.c has it for a desktop, port_target.c
 * for a core in QEMU.
 */
#ifndef PORT_H
#define PORT_H

#include <stdint.h>

/* Exit codes; pil.py has a sentence for each. Small numbers are left to QEMU and the shell. */
#define PORT_FILES 11 /* a file cannot be opened, read or written, or ends too early */
#define PORT_SHAPES 12 /* the frames are of another controller */
#define PORT_COUNTER 13 /* a phase took longer than the counter counts */
#define PORT_STACK 14 /* the stack was used down to its last word */
#define PORT_FAULT 15 /* the core took an exception */

/* Open frames.bin to read and answers.bin to write; close both. 0: done. */
int port_open(void);
int port_close(void);

/* All `size` bytes or failure. 0: done. */
int port_read(void *to, uint32_t size);
int port_write(const void *from, uint32_t size);

/* Ticks between the two calls, as read: the calls themselves included. A host counts nothing.
 * UINT32_MAX: too many. */
void port_start(void);
uint32_t port_ticks(void);

/* Exactly 2 * turns instructions between entry and return; the ruler of the counter. turns > 0. */
void port_loop(uint32_t turns);

/* [bytes] Stack used below the caller of port_start, the deepest since port_open; 0 on a host.
 * UINT32_MAX: all there is. */
uint32_t port_stack(void);

#endif
