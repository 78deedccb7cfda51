/* SPDX-License-Identifier: MIT */
/*
 * test_x86_state.c - in which order a processor is saved and loaded, and what is refused, against a
 * KVM that is played here
 *
 * ioctl() is called in the place of the library's: it notes what it was asked for. The orders are
 * those without which other VMMs lost interrupts, MSRs or time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "kvm_play.h"
#include "x86_vcpu.h"

#define TSC          0x10U
#define TSC_DEADLINE 0x6e0U
#define KVM_FIRST    0x4b564d00U /* KVM's own: the first and the last of the range */
#define KVM_LAST     0x4b564dffU
#define ODD          0x122U /* in the list, and not of this vCPU */
#define FOREIGN      0x1234U
#define KHZ          2000000U
#define LOG_MAX      256U

static const uint32_t listed[] = { TSC,      TSC_DEADLINE, KVM_FIRST, 0x4b564d05U,
				   KVM_LAST, ODD,          FOREIGN,   0xc0000080U };

static struct fake {
	unsigned long log[LOG_MAX];
	uint32_t n;
	uint64_t deadline; /* what the timer reads */
	int khz;
	bool scales;
	uint32_t refused; /* an MSR that cannot be set; 0: none */
	uint32_t set[64]; /* MSRs, in the order in which they were set */
	uint64_t set_value[64];
	uint32_t n_set;
	uint32_t clock_flags;
} fake;

/* ---- the KVM ---- */

static int msrs_list(struct kvm_msr_list *l)
{
	l->nmsrs = ARRAY_SIZE(listed);
	memcpy(l->indices, listed, sizeof(listed));
	return 0;
}

static int msrs_get(struct kvm_msrs *m)
{
	assert_int_equal(m->nmsrs, 1);
	if (m->entries[0].index == ODD)
		return 0;
	m->entries[0].data =
		m->entries[0].index == TSC_DEADLINE ? fake.deadline : 0x1000U + m->entries[0].index;
	return 1;
}

static int msrs_set(const struct kvm_msrs *m)
{
	for (uint32_t i = 0; i < m->nmsrs; i++) {
		if (m->entries[i].index == fake.refused)
			return (int)i;
		assert_true(fake.n_set < ARRAY_SIZE(fake.set));
		fake.set_value[fake.n_set] = m->entries[i].data;
		fake.set[fake.n_set++] = m->entries[i].index;
	}
	return (int)m->nmsrs;
}

/* Two entries, and zeros behind them, as KVM gives back. */
static int cpuid_get(struct kvm_cpuid2 *c)
{
	memset(c->entries, 0, 4 * sizeof(c->entries[0]));
	c->nent = 4;
	c->entries[1].function = 1;
	return 0;
}

static int answer(unsigned long request, void *arg)
{
	switch (request) {
	case KVM_GET_API_VERSION:
		return KVM_API_VERSION;
	case KVM_CHECK_EXTENSION:
		return 1;
	case KVM_GET_VCPU_MMAP_SIZE:
		return (int)sizeof(struct kvm_run);
	case KVM_GET_SUPPORTED_CPUID:
	case KVM_GET_CPUID2:
		return cpuid_get(arg);
	case KVM_GET_MSR_INDEX_LIST:
		return msrs_list(arg);
	case KVM_GET_MSRS:
		return msrs_get(arg);
	case KVM_SET_MSRS:
		return msrs_set(arg);
	case KVM_GET_TSC_KHZ:
		return fake.khz;
	case KVM_SET_TSC_KHZ:
		errno = EINVAL;
		return fake.scales ? 0 : -1;
	case KVM_SET_CLOCK:
		fake.clock_flags = ((const struct kvm_clock_data *)arg)->flags;
		return 0;
	case KVM_KVMCLOCK_CTRL: /* a guest without kvm-clock */
		errno = EINVAL;
		return -1;
	default:
		return 0;
	}
}

static int kvm_play(int fd, unsigned long request, void *arg)
{
	(void)fd;
	assert_true(fake.n < LOG_MAX);
	fake.log[fake.n++] = request;
	return answer(request, arg);
}

/* Where it was asked for first, or last. */
static uint32_t first(unsigned long request)
{
	for (uint32_t i = 0; i < fake.n; i++)
		if (fake.log[i] == request)
			return i;
	fail_msg("%#lx was never asked for", request);
	return 0;
}

static uint32_t last(unsigned long request)
{
	for (uint32_t i = fake.n; i > 0; i--)
		if (fake.log[i - 1] == request)
			return i - 1;
	fail_msg("%#lx was never asked for", request);
	return 0;
}

/* ---- the machine ---- */

static struct x86_vm vm;
static struct x86_vcpu vcpu = { .fd = -1 };

static int set_up(void **state)
{
	struct err e = { 0 };

	(void)state;
	memset(&fake, 0, sizeof(fake));
	fake.khz = KHZ;
	fake.deadline = 77;
	assert_int_equal(x86_vm_create(-1, &vm, &e), 0);
	fake.n = 0;
	return 0;
}

static void save(struct buf *b)
{
	struct state_out out = { b, false };
	struct err e = { 0 };

	assert_int_equal(x86_vcpu_save(&vcpu, &vm, &out, &e), 0);
	assert_false(out.has_failed);
}

static int load(const struct buf *b, struct err *e)
{
	struct state_in in = { (const uint8_t *)b->data, b->len, false };
	int rc;

	fake.n = fake.n_set = 0;
	rc = x86_vcpu_load(&vcpu, &vm, &in, e);
	if (rc == 0)
		assert_int_equal(in.left, 0);
	return rc;
}

static uint64_t value_set(uint32_t index)
{
	for (uint32_t i = fake.n_set; i > 0; i--)
		if (fake.set[i - 1] == index)
			return fake.set_value[i - 1];
	fail_msg("MSR %#x was never set", index);
	return 0;
}

/* ---- tests ---- */

static void saved_in_order(void **state)
{
	auto_buf b = { 0 };

	(void)state;
	save(&b);
	/* reading it may change the others */
	assert_int_equal(first(KVM_GET_MP_STATE), 0);
	/* reading others may change them */
	assert_int_equal(first(KVM_GET_VCPU_EVENTS), fake.n - 1);
}

static void loaded_in_order(void **state)
{
	static const unsigned long order[] = {
		KVM_SET_CPUID2, KVM_GET_TSC_KHZ,     KVM_SET_MP_STATE,
		KVM_SET_REGS,   KVM_SET_SREGS,       KVM_SET_LAPIC,
		KVM_SET_MSRS,   KVM_SET_VCPU_EVENTS, KVM_KVMCLOCK_CTRL,
	};
	struct err e = { 0 };
	auto_buf b = { 0 };

	(void)state;
	save(&b);
	assert_int_equal(load(&b, &e), 0);
	for (size_t i = 1; i < ARRAY_SIZE(order); i++)
		assert_true(last(order[i - 1]) < first(order[i]));
	/* before the guest runs, or it takes the pause for a hang */
	assert_int_equal(first(KVM_KVMCLOCK_CTRL), fake.n - 1);
	/* a deadline counts once the TSC is what it was */
	assert_int_equal(fake.set[fake.n_set - 1], TSC_DEADLINE);
}

static void no_msr_is_lost(void **state)
{
	struct err e = { 0 };
	auto_buf b = { 0 };

	(void)state;
	save(&b);
	assert_int_equal(load(&b, &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(listed); i++)
		if (listed[i] != ODD && listed[i] != FOREIGN && listed[i] != TSC_DEADLINE)
			assert_int_equal(value_set(listed[i]), 0x1000U + listed[i]);
	for (uint32_t i = 0; i < fake.n_set; i++)
		assert_true(fake.set[i] != ODD && fake.set[i] != FOREIGN);
}

static void a_timer_that_fired_fires_again(void **state)
{
	static const struct {
		uint64_t reads, loaded;
	} t[] = { { 77, 77 }, { 0, 0x1000U + TSC } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct err e = { 0 };
		auto_buf b = { 0 };

		fake.deadline = t[i].reads;
		fake.n = 0;
		save(&b);
		assert_int_equal(load(&b, &e), 0);
		assert_int_equal(value_set(TSC_DEADLINE), t[i].loaded);
	}
}

/* 250 ppm of 2 GHz are 500 kHz. */
static void a_tsc_of_another_rate(void **state)
{
	static const struct {
		int khz;
		bool scales, is_set;
		int rc;
	} t[] = {
		{ KHZ, false, false, 0 },
		{ KHZ + 500, false, false, 0 },
		{ KHZ - 500, false, false, 0 },
		{ KHZ + 501, true, true, 0 },
		{ KHZ + 501, false, true, -ENOTSUP },
		{ KHZ - 501, false, true, -ENOTSUP },
		{ 0, false, false, 0 }, /* this KVM does not say */
	};
	auto_buf b = { 0 };

	(void)state;
	save(&b);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct err e = { 0 };
		bool is_set = false;

		fake.khz = t[i].khz;
		fake.scales = t[i].scales;
		assert_int_equal(load(&b, &e), t[i].rc);
		for (uint32_t k = 0; k < fake.n; k++)
			is_set |= fake.log[k] == KVM_SET_TSC_KHZ;
		assert_int_equal(is_set, t[i].is_set);
		if (is_set) /* before the counter's value */
			assert_true(t[i].rc || first(KVM_SET_TSC_KHZ) < first(KVM_SET_MSRS));
	}
}

static void an_msr_that_is_not_here_is_refused(void **state)
{
	struct err e = { 0 };
	auto_buf b = { 0 };

	(void)state;
	save(&b);
	fake.refused = KVM_LAST; /* KVM knows it, and does not take the value */
	assert_int_equal(load(&b, &e), -ENOTSUP);
	assert_non_null(strstr(e.msg, "0x4b564dff"));
	fake.refused = 0;
	for (uint32_t i = 0; i < vm.n_msrs; i++)
		if (vm.msrs[i] == KVM_LAST)
			vm.msrs[i] = ODD;
	assert_int_equal(load(&b, &e), -ENOTSUP);
	assert_non_null(strstr(e.msg, "0x4b564dff"));
	assert_int_equal(fake.n, 0); /* nothing was touched */
}

static void cut_anywhere_is_refused(void **state)
{
	auto_buf b = { 0 };
	const size_t step = 7;

	(void)state;
	save(&b);
	for (size_t len = 0; len < b.len; len += step) {
		struct state_in in = { (const uint8_t *)b.data, len, false };
		struct err e = { 0 };

		fake.n = 0;
		assert_true(x86_vcpu_load(&vcpu, &vm, &in, &e) < 0);
		assert_int_equal(fake.n, 0);
	}
}

/* With KVM_CLOCK_REALTIME the guest's monotonic clock would jump by the time that it was away. */
static void the_clock_goes_on_from_where_it_was(void **state)
{
	struct err e = { 0 };
	auto_buf b = { 0 };
	struct state_out out = { &b, false };
	struct state_in in;

	(void)state;
	fake.clock_flags = 99;
	/* the controllers' ids are the KVM's: it gives back what it was asked for */
	assert_int_equal(x86_vm_save(&vm, &out, &e), 0);
	in = (struct state_in){ (const uint8_t *)b.data, b.len, false };
	assert_int_equal(x86_vm_load(&vm, &in, &e), 0);
	assert_int_equal(fake.clock_flags, 0);
	assert_true(last(KVM_SET_IRQCHIP) < first(KVM_SET_CLOCK));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(saved_in_order, set_up),
		cmocka_unit_test_setup(loaded_in_order, set_up),
		cmocka_unit_test_setup(no_msr_is_lost, set_up),
		cmocka_unit_test_setup(a_timer_that_fired_fires_again, set_up),
		cmocka_unit_test_setup(a_tsc_of_another_rate, set_up),
		cmocka_unit_test_setup(an_msr_that_is_not_here_is_refused, set_up),
		cmocka_unit_test_setup(cut_anywhere_is_refused, set_up),
		cmocka_unit_test_setup(the_clock_goes_on_from_where_it_was, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
