// SPDX-License-Identifier: GPL-2.0-only
#define RODATA_PAGES 8
#define DATA_PAGES 16
#include "ballast.h"
