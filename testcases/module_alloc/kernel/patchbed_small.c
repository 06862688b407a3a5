// SPDX-License-Identifier: GPL-2.0-only
#define RODATA_PAGES 1
#define DATA_PAGES 1
#include "ballast.h"
