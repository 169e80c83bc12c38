/* What a program inside reads and writes, carried between it and the descriptors of the one who asked. */
#pragma once
#include "native.h"
#include <sys/types.h>

/* In the namespaces of the program and as its user: from now on 0, 1 and 2 are the program's, and what is open besides ends
 * with exec. `terminal` asks for one in the container's own devpts. */
void open_streams(int terminal);

/* In the program's process: its terminal becomes the controlling one. */
void take_terminal(void);

/* Carries until the program has ended, passes signals on; its exit status, 128 + N for signal N. */
int carry(pid_t program);
