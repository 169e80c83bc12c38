/* What the seats of machines that run have of the host's input. */
#pragma once
#include "native.h"

#define SEATS "/run/nestbox-seats"

/* The machine whose seat has the input device of this name in /sys/class/input, or NULL. `place`: what its property ID_PATH says, or NULL. */
const char *seat_with(const char *name, const char *place);
