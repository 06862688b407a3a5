// SPDX-License-Identifier: GPL-2.0-only
#define RODATA_PAGES 32
#define DATA_PAGES 200
#include "ballast.h"
