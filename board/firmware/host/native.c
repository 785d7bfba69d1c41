/* The firmware as a program, on a pseudo-terminal and in real time: `parfocal-board LINK`.
 *
 * LINK becomes a symbolic link to the terminal and is removed at SIGTERM or SIGINT. A small stage without swing stands
 * behind the motors. SIGUSR1 presses the emergency stop, SIGUSR2 releases it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "../board.h"
#include "stage.h"

#define SILENCE_US 1000000u
#define LONGEST_WAIT_US 500000u

struct pf_hal {
    int master, slave;
    uint64_t alarm_us;
    int direction[PF_N_AXES];
    pf_stage stage[PF_N_AXES];
};

static volatile sig_atomic_t is_ended, is_estop_pressed;

static void on_signal(int number) {
    if (number == SIGUSR1 || number == SIGUSR2) {
        is_estop_pressed = number == SIGUSR1;
    } else {
        is_ended = 1;
    }
}

uint64_t pf_hal_now_us(pf_hal *hal) {
    struct timespec now;
    (void)hal;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

uint32_t pf_hal_low_us(pf_hal *hal) { return (uint32_t)pf_hal_now_us(hal); }

void pf_hal_set_alarm(pf_hal *hal, uint32_t at_us) {
    const uint64_t now_us = pf_hal_now_us(hal);
    hal->alarm_us = now_us + (uint64_t)(int64_t)(int32_t)(at_us - (uint32_t)now_us);
}
void pf_hal_lock(pf_hal *hal) { (void)hal; } /* the alarm runs in the main loop */
void pf_hal_unlock(pf_hal *hal) { (void)hal; }
void pf_hal_direction(pf_hal *hal, int axis, int direction) { hal->direction[axis] = direction; }
void pf_hal_step(pf_hal *hal, int axis) { pf_stage_step(&hal->stage[axis], hal->direction[axis]); }
int pf_hal_is_pressed(pf_hal *hal, int axis, int end) { return pf_stage_is_pressed(&hal->stage[axis], end); }
unsigned pf_hal_contact(pf_hal *hal, int axis, int end) { return pf_stage_contact(&hal->stage[axis], end); }
void pf_hal_motor(pf_hal *hal, int axis, int is_on) { (void)hal, (void)axis, (void)is_on; }
void pf_hal_lamp(pf_hal *hal, unsigned duty) { (void)hal, (void)duty; }
void pf_hal_lens(pf_hal *hal, int32_t current_ua) { (void)hal, (void)current_ua; }
void pf_hal_trigger(pf_hal *hal) { (void)hal; }

int pf_hal_estop(pf_hal *hal) {
    (void)hal;
    return is_estop_pressed;
}

int pf_hal_read(pf_hal *hal, uint8_t *data, int max_bytes) {
    const ssize_t n_bytes = read(hal->master, data, (size_t)max_bytes);
    return n_bytes > 0 ? (int)n_bytes : 0;
}

void pf_hal_write(pf_hal *hal, const uint8_t *frame, int n_bytes) {
    /* A host that does not read loses frames, as on a real cable. */
    if (write(hal->master, frame, (size_t)n_bytes) < 0) errno = 0;
}

uint32_t pf_hal_boot_id(pf_hal *hal) {
    uint32_t id = 0;
    (void)hal;
    if (getrandom(&id, sizeof id, 0) != sizeof id) id = (uint32_t)pf_hal_now_us(hal);
    return id;
}

uint32_t pf_hal_unit_serial(pf_hal *hal) {
    (void)hal;
    return 1;
}

uint8_t pf_hal_reset_cause(pf_hal *hal) {
    (void)hal;
    return 0;
}

static int open_terminal(pf_hal *hal, const char *link) {
    struct termios raw;
    const char *name;
    hal->master = posix_openpt(O_RDWR | O_NOCTTY);
    if (hal->master < 0 || grantpt(hal->master) || unlockpt(hal->master)) return -1;
    name = ptsname(hal->master);
    if (!name) return -1;
    hal->slave = open(name, O_RDWR | O_NOCTTY); /* held, so that a host may come and go */
    if (hal->slave < 0 || tcgetattr(hal->slave, &raw)) return -1;
    cfmakeraw(&raw);
    if (tcsetattr(hal->slave, TCSANOW, &raw)) return -1;
    if (fcntl(hal->master, F_SETFL, O_NONBLOCK)) return -1;
    return symlink(name, link);
}

static void serve(pf_hal *hal, pf_board *board) {
    uint64_t heard_us = pf_hal_now_us(hal);
    while (!is_ended) {
        struct pollfd port = {.fd = hal->master, .events = POLLIN};
        const uint64_t now_us = pf_hal_now_us(hal);
        uint64_t wait_us = hal->alarm_us > now_us ? hal->alarm_us - now_us : 0;
        struct timespec wait;
        if (wait_us > LONGEST_WAIT_US) wait_us = LONGEST_WAIT_US;
        wait = (struct timespec){.tv_nsec = (long)(wait_us * 1000u)};
        if (ppoll(&port, 1, &wait, NULL) > 0) heard_us = pf_hal_now_us(hal);
        if (hal->alarm_us <= pf_hal_now_us(hal)) {
            hal->alarm_us = PF_NEVER;
            pf_board_alarm(board);
        }
        pf_board_poll(board);
        /* A host that was killed leaves its exclusive flag on the terminal. */
        if (pf_hal_now_us(hal) - heard_us > SILENCE_US) ioctl(hal->slave, TIOCNXCL);
    }
}

int main(int n_arguments, char **arguments) {
    static pf_hal hal = {.alarm_us = PF_NEVER};
    static pf_board board;
    static const int signals[] = {SIGTERM, SIGINT, SIGUSR1, SIGUSR2};
    struct sigaction action;
    if (n_arguments != 2) {
        fprintf(stderr, "usage: %s LINK\n", arguments[0]);
        return 2;
    }
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) sigaction(signals[i], &action, NULL);
    if (open_terminal(&hal, arguments[1])) {
        fprintf(stderr, "%s was not made: %s\n", arguments[1], strerror(errno));
        return 1;
    }
    for (int i = 0; i < PF_N_AXES; i++) hal.stage[i] = pf_stage_of_paper(i);
    pf_board_start(&board, &pf_paper_stage, &hal);
    printf("firmware at %s\n", arguments[1]);
    fflush(stdout);
    serve(&hal, &board);
    unlink(arguments[1]);
    return 0;
}
