/* SPDX-License-Identifier: MIT */
/*
 * gotemplate_parse.c - from the text of a template to its tree
 *
 * Recursive descent straight over the text; no token is kept. Texts of nodes point into the copy of
 * the source that the template owns. Grammar and error texts: https://pkg.go.dev/text/template.
 */
#include <stdarg.h>
#include <string.h>

#include "gotemplate_internal.h"

#define VARS_MAX 64U
#define SPACE    " \t\r\n"

enum list_end { LIST_EOF, LIST_END, LIST_ELSE };

struct parser {
	struct gotemplate *t;
	const char *p;
	struct err *e;
	unsigned depth, loops;
	struct {
		const char *name;
		size_t len;
	} vars[VARS_MAX];
	unsigned n_vars;
};

static int parse_error(struct parser *p, const char *fmt, ...) printf_like(2, 3);

static int parse_error(struct parser *p, const char *fmt, ...)
{
	char text[256];
	unsigned line = 1;
	va_list ap;

	for (const char *s = p->t->source; s < p->p; s++)
		line += *s == '\n';
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_plain(p->e, EINVAL, "template parsing error: template: :%u: %s", line, text);
}

static struct node *node_new(struct parser *p, enum node_kind kind)
{
	struct node *n = calloc(1, sizeof(*n));

	if (!n) {
		(void)err_set(p->e, ENOMEM, "template");
		return NULL;
	}
	n->kind = kind;
	n->at = n->end = (size_t)(p->p - p->t->source);
	n->all = p->t->all;
	p->t->all = n;
	return n;
}

static bool is_space(char c)
{
	return c && strchr(SPACE, c);
}

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || (unsigned char)c >= 0x80;
}

static size_t name_len(const char *p)
{
	size_t n = 0;

	while (is_name_char(p[n]))
		n++;
	return n;
}

static bool name_is(const char *p, size_t len, const char *word)
{
	return strlen(word) == len && strncmp(p, word, len) == 0;
}

static void space_skip(struct parser *p)
{
	p->p += strspn(p->p, SPACE);
}

/* 2 at "}}", 3 at "-}}" after a space, else 0. */
static size_t close_len(const struct parser *p)
{
	if (strncmp(p->p, "}}", 2) == 0)
		return 2;
	return strncmp(p->p, "-}}", 3) == 0 && is_space(p->p[-1]) ? 3 : 0;
}

static int close_take(struct parser *p)
{
	size_t len;

	space_skip(p);
	len = close_len(p);
	if (!len)
		return *p->p ? parse_error(p, "unexpected \"%.*s\" in command",
					   (int)MAX_OF(name_len(p->p), 1U), p->p)
			     : parse_error(p, "unclosed action");
	p->p += len;
	if (len == 3)
		space_skip(p);
	return 0;
}

static int depth_enter(struct parser *p)
{
	return ++p->depth > TEMPLATE_DEPTH_MAX ? parse_error(p, "max template depth exceeded") : 0;
}

/* ---- expressions ---- */

static int pipe_parse(struct parser *p, const char *context, bool is_range, struct node **ret);

static int paren_parse(struct parser *p, struct node *n)
{
	int rc = depth_enter(p);

	p->p++;
	if (rc == 0)
		rc = pipe_parse(p, "parenthesized pipeline", false, &n->pipe);
	p->depth--;
	if (rc < 0)
		return rc;
	space_skip(p);
	if (*p->p != ')')
		return parse_error(p, "unclosed left paren");
	p->p++;
	return 0;
}

static int variable_parse(struct parser *p, struct node *n)
{
	n->len = 1 + name_len(p->p + 1);
	for (unsigned i = p->n_vars; i > 0; i--) {
		if (p->vars[i - 1].len == n->len &&
		    strncmp(p->vars[i - 1].name, p->p, n->len) == 0) {
			p->p += n->len;
			return 0;
		}
	}
	return parse_error(p, "undefined variable \"%.*s\"", (int)MIN_OF(n->len, 100U), p->p);
}

static int word_parse(struct parser *p, struct node *n)
{
	n->len = name_len(p->p);
	if (name_is(p->p, n->len, "true") || name_is(p->p, n->len, "false")) {
		n->kind = NODE_LITERAL;
		n->value = json_boolean(*p->p == 't');
	} else if (name_is(p->p, n->len, "nil")) {
		n->kind = NODE_NIL;
	} else if (!function_is_known(p->p, n->len)) {
		return parse_error(p, "function \"%.*s\" not defined", (int)MIN_OF(n->len, 100U),
				   p->p);
	}
	p->p += n->len;
	return 0;
}

static int literal_parse(struct parser *p, struct node *n, bool is_number)
{
	const char *why = "out of memory";
	int rc = is_number ? literal_number(p->p, &n->value, &p->p, &why)
			   : literal_string(p->p, &n->value, &p->p, &why);

	n->kind = NODE_LITERAL;
	if (rc == 0)
		return 0;
	return is_number ? parse_error(p, "%s: \"%.*s\"", why,
				       (int)MIN_OF(strcspn(n->text, " |)}"), 100U), n->text)
			 : parse_error(p, "%s", why);
}

static int term_parse(struct parser *p, struct node *n)
{
	char c = *p->p;

	n->text = p->p;
	if (c == '(') {
		n->kind = NODE_PAREN;
		return paren_parse(p, n);
	}
	if (c == '$') {
		n->kind = NODE_VARIABLE;
		return variable_parse(p, n);
	}
	if (c == '"' || c == '`' || c == '\'')
		return literal_parse(p, n, false);
	if ((c >= '0' && c <= '9') || c == '+' || c == '-' ||
	    (c == '.' && p->p[1] >= '0' && p->p[1] <= '9'))
		return literal_parse(p, n, true);
	if (c == '.') {
		n->kind = NODE_DOT;
		if (p->p[1] == '.')
			return parse_error(p, "unexpected . after term \".\"");
		p->p += !is_name_char(p->p[1]); /* ".A" is the dot and its field */
		return 0;
	}
	if (is_name_char(c)) {
		n->kind = NODE_FUNCTION;
		return word_parse(p, n);
	}
	if (!c)
		return parse_error(p, "unclosed action");
	return parse_error(p, "unexpected \"%.*s\" in operand", 1, p->p);
}

static int fields_parse(struct parser *p, struct node *n)
{
	struct node **tail = &n->fields;

	if (*p->p == '.' &&
	    (n->kind == NODE_LITERAL || n->kind == NODE_NIL || n->kind == NODE_FUNCTION))
		return parse_error(p, "unexpected . after term \"%.*s\"",
				   (int)MIN_OF((size_t)(p->p - n->text), 100U), n->text);
	while (*p->p == '.' && is_name_char(p->p[1])) {
		struct node *f = node_new(p, NODE_FIELD);

		if (!f)
			return -p->e->code;
		f->text = ++p->p;
		f->len = name_len(p->p);
		p->p += f->len;
		*tail = f;
		tail = &f->next;
	}
	if (!*p->p || is_space(*p->p) || strchr("|),=:", *p->p) || close_len(p))
		return 0;
	return parse_error(p, "bad character U+%04X '%c'", (unsigned char)*p->p, *p->p);
}

/* Operands up to "|", ")" or the end of the action. */
static int command_parse(struct parser *p, struct node **ret)
{
	struct node *n = node_new(p, NODE_COMMAND), **tail;
	unsigned count = 0;

	if (!n)
		return -p->e->code;
	tail = &n->body;
	for (;;) {
		struct node *o;

		space_skip(p);
		if (*p->p == '|' || *p->p == ')' || close_len(p))
			break;
		o = node_new(p, NODE_DOT);
		if (!o)
			return -p->e->code;
		if (term_parse(p, o) < 0 || fields_parse(p, o) < 0)
			return -p->e->code;
		if (++count > TEMPLATE_ARGS_MAX)
			return parse_error(p, "too many arguments");
		o->end = n->end = (size_t)(p->p - p->t->source);
		*tail = o;
		tail = &o->next;
	}
	*ret = n;
	return 0;
}

static bool is_executable(const struct node *operand)
{
	return operand->kind == NODE_FUNCTION || operand->kind == NODE_VARIABLE ||
	       operand->kind == NODE_PAREN || operand->fields;
}

static int commands_parse(struct parser *p, const char *context, struct node *pipe)
{
	struct node **tail = &pipe->body;

	for (unsigned stage = 1;; stage++) {
		struct node *c = NULL;

		if (command_parse(p, &c) < 0)
			return -p->e->code;
		if (!c->body)
			return stage == 1 && *p->p != '|'
				       ? parse_error(p, "missing value for %s", context)
				       : parse_error(p, "missing value for command");
		if (stage > 1 && !is_executable(c->body))
			return parse_error(p, "non executable command in pipeline stage %u", stage);
		*tail = c;
		tail = &c->next;
		pipe->end = c->end;
		if (*p->p != '|')
			return 0;
		p->p++;
	}
}

static int variable_add(struct parser *p, const char *name, size_t len)
{
	if (p->n_vars == VARS_MAX)
		return parse_error(p, "too many variables");
	p->vars[p->n_vars].name = name;
	p->vars[p->n_vars++].len = len;
	return 0;
}

/* "$x :=", "$x =", in a range "$k, $v :="; what is none of these is left alone. */
static int declaration_parse(struct parser *p, bool is_range, struct node *pipe)
{
	const char *start = p->p, *q = p->p;
	unsigned n = 0;

	while (n < (is_range ? 2U : 1U) && *q == '$') {
		pipe->vars[n].name = q;
		pipe->vars[n].len = 1 + name_len(q + 1);
		q += pipe->vars[n++].len;
		q += strspn(q, SPACE);
		if (*q != ',')
			break;
		if (!is_range || n == 2)
			return parse_error(p, "too many declarations in command");
		q++;
		q += strspn(q, SPACE);
	}
	if (!n || (*q != '=' && strncmp(q, ":=", 2) != 0)) {
		p->p = start;
		return n == 2 ? parse_error(p, "range can only initialize variables") : 0;
	}
	pipe->n_vars = n;
	pipe->is_assignment = *q == '=';
	for (unsigned i = 0; i < n; i++) {
		struct node check = { .kind = NODE_VARIABLE };

		p->p = pipe->vars[i].name;
		if (pipe->is_assignment
			    ? variable_parse(p, &check) < 0
			    : variable_add(p, pipe->vars[i].name, pipe->vars[i].len) < 0)
			return -p->e->code;
	}
	p->p = q + (pipe->is_assignment ? 1 : 2);
	return 0;
}

static int pipe_parse(struct parser *p, const char *context, bool is_range, struct node **ret)
{
	struct node *n;

	space_skip(p);
	n = node_new(p, NODE_PIPE);
	if (!n)
		return -p->e->code;
	*ret = n;
	if (declaration_parse(p, is_range, n) < 0)
		return -p->e->code;
	return commands_parse(p, context, n);
}

/* ---- lists of text and actions ---- */

static int list_parse(struct parser *p, struct node **ret, enum list_end *ret_end);
static int control_parse(struct parser *p, enum node_kind kind, struct node **ret);

static const char *const control_names[] = {
	[NODE_IF] = "if", [NODE_WITH] = "with", [NODE_RANGE] = "range"
};

static int else_parse(struct parser *p, struct node *n)
{
	const char *name = control_names[n->kind];
	enum list_end end;

	space_skip(p);
	if (n->kind != NODE_RANGE && name_is(p->p, name_len(p->p), name)) {
		p->p += strlen(name);
		return control_parse(p, n->kind, &n->otherwise); /* its end is ours */
	}
	if (close_take(p) < 0 || list_parse(p, &n->otherwise, &end) < 0)
		return -p->e->code;
	if (end == LIST_ELSE)
		return parse_error(p, "expected end; found {{else}}");
	return end == LIST_EOF ? parse_error(p, "unexpected EOF") : 0;
}

static int control_parse(struct parser *p, enum node_kind kind, struct node **ret)
{
	struct node *n = node_new(p, kind);
	unsigned mark = p->n_vars;
	enum list_end end;
	int rc;

	if (!n || depth_enter(p) < 0)
		return -p->e->code;
	*ret = n;
	if (pipe_parse(p, control_names[kind], kind == NODE_RANGE, &n->pipe) < 0 ||
	    close_take(p) < 0)
		return -p->e->code;
	p->loops += kind == NODE_RANGE;
	rc = list_parse(p, &n->body, &end);
	p->loops -= kind == NODE_RANGE;
	if (rc < 0)
		return rc;
	if (end == LIST_EOF)
		return parse_error(p, "unexpected EOF");
	if (end == LIST_ELSE && else_parse(p, n) < 0)
		return -p->e->code;
	p->n_vars = mark;
	p->depth--;
	return 0;
}

static int loop_word_parse(struct parser *p, enum node_kind kind, struct node **ret)
{
	if (!p->loops)
		return parse_error(p, "{{%s}} outside {{range}}",
				   kind == NODE_BREAK ? "break" : "continue");
	*ret = node_new(p, kind);
	return *ret ? close_take(p) : -p->e->code;
}

static int comment_skip(struct parser *p)
{
	const char *end = strstr(p->p + 2, "*/");

	if (!end)
		return parse_error(p, "unclosed comment");
	p->p = end + 2;
	space_skip(p);
	if (!close_len(p))
		return parse_error(p, "comment ends before closing delimiter");
	return close_take(p);
}

/* Behind "{{". ret NULL: nothing to add; then ret_end may be that the list ends. */
static int action_parse(struct parser *p, struct node **ret, enum list_end *ret_end)
{
	size_t len;

	*ret = NULL;
	space_skip(p);
	if (strncmp(p->p, "/*", 2) == 0)
		return comment_skip(p);
	len = name_len(p->p);
	for (enum node_kind k = NODE_IF; k <= NODE_RANGE; k++) {
		if (name_is(p->p, len, control_names[k])) {
			p->p += len;
			return control_parse(p, k, ret);
		}
	}
	if (name_is(p->p, len, "end") || name_is(p->p, len, "else")) {
		*ret_end = p->p[1] == 'n' ? LIST_END : LIST_ELSE;
		p->p += len;
		return *ret_end == LIST_END ? close_take(p) : 0;
	}
	if (name_is(p->p, len, "break") || name_is(p->p, len, "continue")) {
		p->p += len;
		return loop_word_parse(p, len == 5 ? NODE_BREAK : NODE_CONTINUE, ret);
	}
	if (name_is(p->p, len, "define") || name_is(p->p, len, "template") ||
	    name_is(p->p, len, "block"))
		return parse_error(p, "{{%.*s}} is not supported", (int)len, p->p);
	*ret = node_new(p, NODE_OUTPUT);
	if (!*ret || pipe_parse(p, "command", false, &(*ret)->pipe) < 0)
		return -p->e->code;
	return close_take(p);
}

static int text_parse(struct parser *p, struct node **ret)
{
	const char *open = strstr(p->p, "{{");
	size_t len = open ? (size_t)(open - p->p) : strlen(p->p);
	const char *next = p->p + len;
	struct node *n;

	if (open && open[2] == '-' && is_space(open[3])) {
		while (len > 0 && is_space(p->p[len - 1]))
			len--;
		next = open + 1; /* so that the marker is skipped below */
	}
	*ret = NULL;
	if (len > 0) {
		n = node_new(p, NODE_TEXT);
		if (!n)
			return -p->e->code;
		n->text = p->p;
		n->len = len;
		*ret = n;
	}
	p->p = open ? next + 2 : next;
	return 0;
}

static int list_parse(struct parser *p, struct node **ret, enum list_end *ret_end)
{
	enum list_end end = LIST_EOF;

	while (*p->p && end == LIST_EOF) {
		const char *open = strstr(p->p, "{{");
		struct node *n;

		if (text_parse(p, &n) < 0)
			return -p->e->code;
		if (n) {
			*ret = n;
			ret = &n->next;
		}
		if (!open)
			break;
		if (action_parse(p, &n, &end) < 0)
			return -p->e->code;
		if (n) {
			*ret = n;
			ret = &n->next;
		}
	}
	*ret_end = end;
	return 0;
}

static int template_parse(struct parser *p)
{
	enum list_end end = LIST_EOF;

	if (variable_add(p, "$", 1) < 0 || list_parse(p, &p->t->body, &end) < 0)
		return -p->e->code;
	if (end == LIST_EOF)
		return 0;
	return parse_error(p, "unexpected {{%s}}", end == LIST_END ? "end" : "else");
}

int gotemplate_parse(const char *text, struct gotemplate **ret, struct err *e)
{
	struct gotemplate *t;
	struct parser p = { .e = e };

	if (strlen(text) > TEMPLATE_TEXT_MAX)
		return err_plain(e, EFBIG, "template parsing error: the template is too long");
	t = calloc(1, sizeof(*t));
	if (t)
		t->source = strdup(text);
	if (!t || !t->source) {
		gotemplate_free(t);
		return err_set(e, ENOMEM, "template");
	}
	p.t = t;
	p.p = t->source;
	if (template_parse(&p) < 0) {
		gotemplate_free(t);
		return -e->code;
	}
	*ret = t;
	return 0;
}

void gotemplate_free(struct gotemplate *t)
{
	if (!t)
		return;
	while (t->all) {
		struct node *n = t->all;

		t->all = n->all;
		json_decref(n->value);
		free(n);
	}
	free(t->source);
	free(t);
}
