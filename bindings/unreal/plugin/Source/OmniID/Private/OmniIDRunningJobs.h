#pragma once

#include "Core/Job.h"

/** The calls that run; those of the whole plugin. */
omniid_plugin::RunningJobs& OmniIDRunningJobs();
