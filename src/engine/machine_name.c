/* SPDX-License-Identifier: MIT */
/* machine_name.c - see machine_name.h */
#include "machine_name.h"

#include <stdint.h>
#include <sys/random.h>

static const char *const qualities[] = {
	"amber",  "ample", "bold",    "brave",  "bright", "brisk",  "calm",  "clear",  "crisp",
	"deep",   "eager", "early",   "fair",   "fast",   "firm",   "fresh", "gentle", "glad",
	"grand",  "green", "keen",    "kind",   "light",  "lively", "lucid", "merry",  "mild",
	"neat",   "noble", "plain",   "polite", "proud",  "quick",  "quiet", "rapid",  "ready",
	"round",  "sharp", "shiny",   "silent", "sleek",  "smooth", "solid", "steady", "stout",
	"sturdy", "sunny", "swift",   "tidy",   "vivid",  "warm",   "wide",  "wise",   "young",
	"able",   "agile", "buoyant", "candid", "civil",  "hardy",
};

static const char *const things[] = {
	"anchor",  "barge",   "basin",   "beacon",  "bollard", "bridge",  "buoy",    "canal",
	"capstan", "cargo",   "coral",   "crane",   "current", "davit",   "deck",    "delta",
	"diver",   "dock",    "dredger", "ferry",   "fender",  "fjord",   "gangway", "gull",
	"harbor",  "hatch",   "heron",   "hull",    "inlet",   "islet",   "jetty",   "keel",
	"lagoon",  "lantern", "lock",    "mast",    "mooring", "osprey",  "pier",    "pilot",
	"piling",  "pontoon", "quay",    "reef",    "rigger",  "rudder",  "sail",    "seal",
	"shoal",   "sluice",  "strait",  "tide",    "trestle", "tugboat", "vessel",  "wharf",
	"winch",   "wave",    "weir",    "whistle",
};

static int random_fill(void *p, size_t len, struct err *e)
{
	return getrandom(p, len, 0) == (ssize_t)len ? 0 : err_set(e, errno, "random bytes");
}

int machine_name_random(unsigned attempt, char *ret, size_t len, struct err *e)
{
	uint32_t r[2];

	if (random_fill(r, sizeof(r), e) < 0)
		return -e->code;
	snprintf(ret, len, "%s_%s", qualities[r[0] % ARRAY_SIZE(qualities)],
		 things[r[1] % ARRAY_SIZE(things)]);
	if (attempt)
		snprintf(ret, len, "%s_%s%u", qualities[r[0] % ARRAY_SIZE(qualities)],
			 things[r[1] % ARRAY_SIZE(things)], (r[0] >> 8) % 1000);
	return 0;
}

int machine_id_random(char ret[65], struct err *e)
{
	uint8_t r[32];

	if (random_fill(r, sizeof(r), e) < 0)
		return -e->code;
	for (size_t i = 0; i < sizeof(r); i++)
		snprintf(ret + 2 * i, 3, "%02x", r[i]);
	return 0;
}
