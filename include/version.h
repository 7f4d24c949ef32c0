/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `version` prints and sluice_build_info says; the build may give another. */
#ifndef SLUICE_VERSION_H
#define SLUICE_VERSION_H

#ifndef VERSION
#define VERSION "0.1.0"
#endif

#endif
