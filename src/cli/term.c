/* SPDX-License-Identifier: MIT */
/*
 * term.c - the user's terminal
 *
 * The saved settings are the one thing that a signal handler needs, so they are static. tcsetattr()
 * is async-signal-safe.
 */
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "term.h"

static struct termios saved;
static volatile sig_atomic_t is_raw;

static const int ending[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGSEGV, SIGBUS, SIGABRT, SIGPIPE };

void term_restore(void)
{
	if (!is_raw)
		return;
	is_raw = 0;
	tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
}

static void on_end(int signo)
{
	if (is_raw)
		tcsetattr(STDIN_FILENO, TCSANOW, &saved);
	raise(signo); /* SA_RESETHAND: now with its default action */
}

static void handlers_set(void)
{
	struct sigaction sa = { .sa_handler = on_end, .sa_flags = (int)SA_RESETHAND };

	sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < ARRAY_SIZE(ending); i++)
		sigaction(ending[i], &sa, NULL);
}

int term_raw(struct err *e)
{
	struct termios t;

	if (tcgetattr(STDIN_FILENO, &saved) < 0)
		return err_set(e, errno, "terminal");
	t = saved;
	cfmakeraw(&t);
	handlers_set();
	is_raw = 1;
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &t) < 0) {
		is_raw = 0;
		return err_set(e, errno, "terminal");
	}
	return 0;
}

void term_size(uint16_t *ret_rows, uint16_t *ret_cols)
{
	struct winsize ws = { 0 };

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) < 0 && ioctl(STDIN_FILENO, TIOCGWINSZ, &ws) < 0)
		ws = (struct winsize){ 0 };
	*ret_rows = ws.ws_row;
	*ret_cols = ws.ws_col;
}

int term_ask(const char *question, bool hidden, char *ret, size_t len, struct err *e)
{
	struct termios t;
	char *line;

	fputs(question, stderr);
	fflush(stderr);
	if (hidden) {
		if (tcgetattr(STDIN_FILENO, &saved) < 0)
			return err_set(e, errno, "terminal");
		t = saved;
		t.c_lflag &= ~(tcflag_t)ECHO;
		handlers_set();
		is_raw = 1;
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &t);
	}
	line = fgets(ret, (int)len, stdin);
	if (hidden) {
		term_restore();
		fputc('\n', stderr);
	}
	if (!line || strlen(ret) + 1 >= len)
		return err_plain(e, EINVAL, "no answer");
	ret[strcspn(ret, "\r\n")] = 0;
	return 0;
}
