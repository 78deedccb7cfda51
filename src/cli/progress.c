/* SPDX-License-Identifier: MIT */
/*
 * progress.c - [U] what pull, push and work on disks show
 *
 * A frame is one write: up over the last frame, each line followed by erase-to-end, so nothing
 * flickers. Lines are cut to the terminal's width; after it became narrower, the lines of the last
 * frame have wrapped, and are counted so. What does not fit the height is summed up in a last line.
 */
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "fdio.h"
#include "progress.h"
#include "text.h"

#define FRAME_NS  60000000LL
#define ITEMS_MAX 4096U
#define BAR_MAX   50U
#define BAR_MIN   8U
#define ID_MAX    12U

struct line {
	char id[ID_MAX + 1];
	enum progress_state state;
	uint64_t done, total;
};

struct progress {
	struct progress_ops ops;
	enum progress_kind kind;
	int fd;
	bool is_terminal, is_dirty;
	struct line *lines;
	size_t n;
	size_t *drawn; /* widths of the lines of the last frame */
	size_t n_drawn;
	int64_t last_ns;
};

static const char *state_text(enum progress_kind kind, enum progress_state s)
{
	bool push = kind == PROGRESS_PUSH, work = kind == PROGRESS_WORK;

	switch (s) {
	case PROGRESS_WAITING:
		return push ? "Preparing" : "Pulling fs layer";
	case PROGRESS_EXISTS:
		return push ? "Layer already exists" : "Already exists";
	case PROGRESS_DOWNLOADING:
		return "Downloading";
	case PROGRESS_EXTRACTING:
		return "Extracting";
	case PROGRESS_UPLOADING:
		return "Pushing";
	case PROGRESS_MOUNTED:
		return "Mounted from another repository";
	case PROGRESS_DONE:
		return work ? "Done" : push ? "Pushed" : "Pull complete";
	case PROGRESS_WORKING:
		return "Working";
	case PROGRESS_RETRYING:
		return "Retrying";
	}
	return "";
}

static bool has_bar(enum progress_state s)
{
	return s == PROGRESS_DOWNLOADING || s == PROGRESS_EXTRACTING || s == PROGRESS_UPLOADING ||
	       s == PROGRESS_WORKING;
}

static bool is_final(enum progress_state s)
{
	return s == PROGRESS_EXISTS || s == PROGRESS_MOUNTED || s == PROGRESS_DONE;
}

static int bar_add(struct buf *b, uint64_t done, uint64_t total, size_t width)
{
	size_t full = (size_t)((double)width * (double)MIN_OF(done, total) / (double)total);
	char bar[BAR_MAX + 3];

	memset(bar + 1, ' ', width);
	memset(bar + 1, '=', full);
	if (full < width)
		bar[1 + full] = '>';
	bar[0] = '[';
	bar[width + 1] = ']';
	return buf_add(b, bar, width + 2);
}

int progress_line(struct buf *b, enum progress_kind kind, const struct progress_item *i,
		  size_t width)
{
	char done[24], total[24], text[160];
	auto_buf id = { 0 };
	size_t used, room;

	if (text_escape(&id, i->id, strnlen(i->id, ID_MAX)) < 0)
		return -ENOMEM;
	snprintf(text, sizeof(text), "%s: %s ", id.data ? id.data : "", state_text(kind, i->state));
	used = strlen(text);
	if (!has_bar(i->state) || i->done + i->total == 0) {
		text[used - 1] = 0;
		return buf_add(b, text, MIN_OF(used - 1, width));
	}
	size_text(i->done, 4, done, sizeof(done));
	size_text(i->total, 4, total, sizeof(total));
	room = strlen(done) + strlen(total) + 4; /* "[] " and "/" */
	if (buf_add(b, text, MIN_OF(used, width)) < 0)
		return -ENOMEM;
	if (i->total && width >= used + room + BAR_MIN) {
		if (bar_add(b, i->done, i->total, MIN_OF(width - used - room, BAR_MAX)) < 0)
			return -ENOMEM;
		return buf_addf(b, " %s/%s", done, total);
	}
	if (width < used + room)
		return 0;
	return i->total ? buf_addf(b, "%s/%s", done, total) : buf_add_str(b, done);
}

static void size_get(const struct progress *p, size_t *ret_rows, size_t *ret_cols)
{
	struct winsize ws = { 0 };

	*ret_rows = 24;
	*ret_cols = 80;
	if (ioctl(p->fd, TIOCGWINSZ, &ws) == 0 && ws.ws_row && ws.ws_col) {
		*ret_rows = ws.ws_row;
		*ret_cols = ws.ws_col;
	}
}

static int up_add(struct progress *p, struct buf *b, size_t cols)
{
	size_t rows = 0;

	for (size_t i = 0; i < p->n_drawn; i++)
		rows += p->drawn[i] ? (p->drawn[i] + cols - 1) / cols : 1;
	p->n_drawn = 0;
	return rows ? buf_addf(b, "\r\x1b[%zuA", rows) : 0;
}

static int line_end(struct progress *p, struct buf *b, size_t begin)
{
	p->drawn[p->n_drawn++] = text_width(b->data + begin, b->len - begin);
	return buf_add_str(b, "\x1b[K\n");
}

static int summary_add(struct progress *p, struct buf *b, size_t hidden, size_t width)
{
	char text[80];
	size_t done = 0, begin = b->len;

	for (size_t i = 0; i < p->n; i++)
		done += is_final(p->lines[i].state);
	snprintf(text, sizeof(text), "%zu more; %zu of %zu layers complete", hidden, done, p->n);
	if (buf_add(b, text, MIN_OF(strlen(text), width)) < 0)
		return -ENOMEM;
	return line_end(p, b, begin);
}

static int items_add(struct progress *p, struct buf *b, size_t rows, size_t width)
{
	size_t fit = rows > 3 ? rows - 2 : 1;
	size_t skip = p->n > fit ? p->n - (fit - 1) : 0, hidden = 0;

	for (size_t i = 0; i < p->n; i++) {
		const struct line *l = &p->lines[i];
		const struct progress_item item = { l->id, l->state, l->done, l->total };
		size_t begin = b->len;

		/* Those that are done go first, then the ones at the end. */
		if (skip > 0 &&
		    (hidden < skip && (is_final(l->state) || p->n - i <= skip - hidden))) {
			hidden++;
			continue;
		}
		if (p->n_drawn + 1 >= fit && skip > 0) {
			hidden++;
			continue;
		}
		if (progress_line(b, p->kind, &item, width) < 0 || line_end(p, b, begin) < 0)
			return -ENOMEM;
	}
	return hidden ? summary_add(p, b, hidden, width) : 0;
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void frame_draw(struct progress *p)
{
	auto_buf b = { 0 };
	size_t rows, cols;

	size_get(p, &rows, &cols);
	if (up_add(p, &b, cols) < 0 || items_add(p, &b, rows, cols > 1 ? cols - 1 : 1) < 0 ||
	    buf_add_str(&b, "\x1b[J") < 0)
		return;                             /* out of memory: a frame less */
	(void)!fd_write_full(p->fd, b.data, b.len); /* only a display */
	p->is_dirty = false;
	p->last_ns = now_ns();
}

static void on_message(void *arg, const char *text)
{
	struct progress *p = arg;
	auto_buf b = { 0 };
	size_t rows, cols;

	size_get(p, &rows, &cols);
	if ((p->is_terminal && (up_add(p, &b, cols) < 0 || buf_add_str(&b, "\x1b[J") < 0)) ||
	    text_escape(&b, text, strlen(text)) < 0 || buf_add_str(&b, "\n") < 0)
		return;
	(void)!fd_write_full(p->fd, b.data, b.len); /* only a display */
	if (p->is_terminal && p->n)
		frame_draw(p);
}

static struct line *line_find(struct progress *p, const char *id, bool *ret_new)
{
	struct line *l;
	size_t *drawn;

	*ret_new = false;
	for (size_t i = 0; i < p->n; i++)
		if (strncmp(p->lines[i].id, id, ID_MAX) == 0)
			return &p->lines[i];
	if (p->n == ITEMS_MAX)
		return NULL;
	l = realloc(p->lines, (p->n + 1) * sizeof(*l));
	if (!l)
		return NULL;
	p->lines = l;
	drawn = realloc(p->drawn, (p->n + 2) * sizeof(*drawn)); /* and the summary */
	if (!drawn)
		return NULL;
	p->drawn = drawn;
	l = &p->lines[p->n++];
	*l = (struct line){ 0 };
	snprintf(l->id, sizeof(l->id), "%.12s", id);
	*ret_new = true;
	return l;
}

static void on_item(void *arg, const struct progress_item *i)
{
	struct progress *p = arg;
	auto_buf b = { 0 };
	bool is_new, has_changed;
	struct line *l = line_find(p, i->id, &is_new);

	if (!l)
		return;
	has_changed = is_new || l->state != i->state;
	l->state = i->state;
	l->done = i->done;
	l->total = i->total;
	if (p->is_terminal) {
		p->is_dirty = true;
		if (is_new || now_ns() - p->last_ns >= FRAME_NS)
			frame_draw(p);
		return;
	}
	if (!has_changed || has_bar(i->state))
		return;
	if (progress_line(&b, p->kind, i, 200) < 0 || buf_add_str(&b, "\n") < 0)
		return;
	(void)!fd_write_full(p->fd, b.data, b.len); /* only a display */
}

static void no_message(void *arg, const char *text)
{
	(void)arg;
	(void)text;
}

static void no_item(void *arg, const struct progress_item *i)
{
	(void)arg;
	(void)i;
}

int progress_new(int fd, enum progress_kind kind, struct progress **ret, struct err *e)
{
	struct progress *p = calloc(1, sizeof(*p));

	if (!p)
		return err_set(e, ENOMEM, "progress");
	p->fd = fd;
	p->kind = kind;
	p->is_terminal = kind != PROGRESS_QUIET && isatty(fd);
	p->ops =
		kind == PROGRESS_QUIET
			? (struct progress_ops){ .message = no_message, .item = no_item }
			: (struct progress_ops){ .message = on_message, .item = on_item, .arg = p };
	*ret = p;
	return 0;
}

const struct progress_ops *progress_ops(const struct progress *p)
{
	return &p->ops;
}

void progress_free(struct progress *p)
{
	if (!p)
		return;
	if (p->is_dirty)
		frame_draw(p);
	free(p->lines);
	free(p->drawn);
	free(p);
}
