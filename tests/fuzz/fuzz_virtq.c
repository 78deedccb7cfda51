/* SPDX-License-Identifier: MIT */
/* fuzz_virtq.c - a guest's rings: what is given out lies in memory, and all ends */
#include "fuzz_input.h"

#include "virtq.h"

/* The input: size and mode, OPS operations of two bytes, then memory from its first byte on, where
 * the rings are one after another. The device's writes and later operations change it. */
#define HEADER 2U
#define OPS    16U
#define BASE   0x1000U
#define SLOT   0x2000U
#define SECOND 0x10000U

static void chain_check(const struct guest_memory *m, const struct virtq *q,
			const struct virtq_chain *c)
{
	uint64_t out = 0, in = 0;

	MUST(c->head < q->size && c->n_out + c->n_in <= MIN_OF(q->size, VIRTQ_CHAIN_MAX));
	for (unsigned int i = 0; i < c->n_out + c->n_in; i++) {
		const uint8_t *p = c->iov[i].iov_base;
		size_t len = c->iov[i].iov_len;
		const struct guest_slot *s = &m->slots[0];

		if (p < s->hva || p >= s->hva + s->size)
			s = &m->slots[1];
		MUST(len > 0 && range_fits((uint64_t)(p - s->hva), len, s->size));
		*(i < c->n_out ? &out : &in) += len;
	}
	MUST(out == c->len_out && in == c->len_in && out + in <= UINT32_MAX);
}

static void chain_use(const struct virtq_chain *c, uint8_t off)
{
	uint8_t data[300];
	size_t n = virtq_chain_read(c, off, data, sizeof(data));

	MUST(n == MIN_OF(sizeof(data), c->len_out - MIN_OF(off, c->len_out)));
	memset(data, off, sizeof(data));
	n = virtq_chain_write(c, off, data, sizeof(data)); /* perhaps over the rings */
	MUST(n == MIN_OF(sizeof(data), c->len_in - MIN_OF(off, c->len_in)));
}

/* A queue that was saved can be loaded, and is the same. */
static void save_and_load(struct virtq *q)
{
	struct virtq new = { .size = 77 };
	struct err e = { 0 };
	auto_buf b = { 0 };
	struct state_out out = { .b = &b };
	struct state_in in;

	virtq_save(q, &out);
	MUST(!out.has_failed);
	in = (struct state_in){ .p = (const uint8_t *)b.data, .left = b.len };
	MUST(virtq_load(&new, q->mem, &in, &e) == 0 && in.left == 0);
	MUST(new.next_avail == q->next_avail &&new.next_used == q->next_used &&new.size ==
	     q->size &&new.is_broken == q->is_broken &&new.is_ready == q->is_ready);
	*q = new;
}

/* A saved queue that is the input's bytes. */
static void load_bytes(struct virtq *q, const uint8_t *data, size_t len)
{
	struct state_in in = { .p = data, .left = len };
	struct virtq new = { .size = 77 };
	struct err e = { 0 };

	if (virtq_load(&new, q->mem, &in, &e) == 0)
		*q = new;
	else
		MUST(new.size == 77 && e.msg[0]);
}

static void pop(struct virtq *q, uint8_t arg)
{
	struct virtq_chain c;
	uint16_t was = q->next_avail;
	int rc = virtq_pop(q, &c);

	MUST((rc == -EPROTO) == q->is_broken && (uint16_t)(q->next_avail - was) == (rc == 1));
	MUST((uint16_t)(q->next_avail - q->next_used) <= q->size);
	if (rc != 1) {
		MUST(c.n_out + c.n_in == 0);
		return;
	}
	chain_check(q->mem, q, &c);
	chain_use(&c, arg);
	if (arg & 1)
		virtq_push(q, c.head, arg);
}

static void op(struct virtq *q, uint8_t what, uint8_t arg, const uint8_t *mem, size_t len)
{
	uint8_t *low = q->mem->slots[0].hva;

	switch (what % 8) {
	case 0: /* the driver writes memory: the input's again, elsewhere */
		memcpy(low + arg * 8, mem, MIN_OF(len, SLOT - 255 * 8));
		break;
	case 1: /* only the index, which follows the device's */
		put_le16(low + (q->avail - BASE) + 2, (uint16_t)(q->next_avail + arg));
		break;
	case 2:
		virtq_kicks_set(q, arg & 1);
		break;
	case 3:
		if (virtq_needs_signal(q))
			MUST(q->signalled_used == q->next_used && !virtq_needs_signal(q));
		break;
	case 4:
		save_and_load(q);
		break;
	default:
		pop(q, arg);
		break;
	}
}

static void run(struct guest_memory *m, const uint8_t *data, size_t len)
{
	const uint8_t *ops = data + HEADER, *mem = ops + 2 * OPS;
	struct virtq q = { .size = (uint16_t)(1U << data[0] % 9), .desc = BASE };
	struct err e = { 0 };

	len = MIN_OF(len - HEADER - 2 * OPS, SLOT);
	memcpy(m->slots[0].hva, mem, len);
	memcpy(m->slots[1].hva, mem, len);
	q.avail = q.desc + 16U * q.size;
	q.used = align_up(q.avail + 2U * q.size + 6, 4);
	MUST(virtq_start(&q, m, data[1] & 1, &e) == 0);
	if (data[1] & 2)
		load_bytes(&q, mem, len);
	if (data[1] & 4) {
		virtq_reset(&q);
		q = (struct virtq){ .mem = m,
				    .size = get_le16(ops),
				    .desc = get_le64(ops + 2),
				    .avail = get_le64(ops + 10),
				    .used = get_le64(ops + 18) };
		if (virtq_start(&q, m, data[1] & 1, &e) < 0)
			return;
	}
	for (unsigned int i = 0; i < OPS; i++)
		if (q.avail >= BASE && q.avail < BASE + SLOT - 4)
			op(&q, ops[2 * i], ops[2 * i + 1], mem, len);
	for (unsigned int i = 0; virtq_has_work(&q); i++) {
		MUST(i <= VIRTQ_SIZE_MAX);
		pop(&q, 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct guest_memory m = { .slots = { { .gpa = BASE, .size = SLOT },
					     { .gpa = SECOND, .size = SLOT } },
				  .n_slots = 2 };
	struct err e = { 0 };

	if (len < HEADER + 2 * OPS)
		return 0;
	MUST(guest_memory_map(&m, GUEST_MEMORY_ANON, -1, &e) == 0);
	run(&m, data, len);
	guest_memory_unmap(&m);
	return 0;
}
