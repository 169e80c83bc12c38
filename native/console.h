/* console.c: virtual terminals, for the jobs that have to do with them. */
#pragma once
#include "native.h"

enum { LAST_TERMINAL = 63 /* MAX_NR_CONSOLES in linux/vt.h */ };

int open_terminal(unsigned terminal);

/* Text and keys as on a terminal that nobody draws on: what an X server or a compositor that was killed could not put back. */
void reset_terminal(int terminal);

/* What the kernel tells of the visible one; a change of it can be waited for. Ends the program where there are none. */
int open_active(void);
unsigned visible_terminal(int active);

/* Asks for the screen; 1: it had to be taken away from whoever had it, and did not answer. */
int make_visible(unsigned terminal);

/* The kernel forgets it, unless somebody has it open. */
void forget_terminal(unsigned terminal);
