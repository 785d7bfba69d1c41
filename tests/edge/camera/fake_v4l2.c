/* A webcam that is not there, for LD_PRELOAD: /dev/video63 answers the calls of V4L2 as uvcvideo does.
 *
 * Raw frames (YUYV) of 640 x 480 at 30/s and 1280 x 720 at 10/s, JPEG ones of 1280 x 720 and 1920 x 1080 at 30/s, from
 * the files FAKE_JPEG-720.jpg and FAKE_JPEG-1080.jpg. The luminance of raw frame k is 16 + 8 * (k % 24). While the file FAKE_GONE exists it is unplugged.
 * As in the kernel, the format cannot change while buffers are there, and a frame is read into the oldest buffer that
 * was queued; without one it is lost.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { NODE = 63, MOST = 8, SLOT = 1 << 24, N_CTRL = 6 };
struct mode { uint32_t format, width, height, rate; };
static const struct mode MODES[] = {
	{V4L2_PIX_FMT_YUYV, 640, 480, 30}, {V4L2_PIX_FMT_YUYV, 1280, 720, 10}, {V4L2_PIX_FMT_MJPEG, 1280, 720, 30},
	{V4L2_PIX_FMT_MJPEG, 1920, 1080, 30}};
static const uint32_t FORMATS[] = {V4L2_PIX_FMT_YUYV, V4L2_PIX_FMT_MJPEG};
static struct { uint32_t id; int32_t value, least, most; } ctrls[N_CTRL] = {
	{V4L2_CID_AUTO_WHITE_BALANCE, 1, 0, 1}, {V4L2_CID_GAIN, 20, 0, 100}, {V4L2_CID_POWER_LINE_FREQUENCY, 1, 0, 2},
	{V4L2_CID_WHITE_BALANCE_TEMPERATURE, 4600, 2800, 6500}, {V4L2_CID_EXPOSURE_AUTO, 3, 0, 3},
	{V4L2_CID_EXPOSURE_ABSOLUTE, 157, 3, 2047}};

static char is_ours[1024]; /* descriptors of the node; `owner` streams */
static int owner = -1, n_buffers, is_on, n_queued, queue[MOST];
static const struct mode *mode = &MODES[0];
static uint8_t *memory[MOST];
static double on_s;
static long n_made;

static int is_gone(void) { return getenv("FAKE_GONE") && access(getenv("FAKE_GONE"), F_OK) == 0; }
static int fail(int error) { errno = error; return -1; }
static double now_s(void) {
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + 1e-9 * now.tv_nsec;
}
static uint32_t size_of(const struct mode *m) { return m->width * m->height * 2; }

static int open_node(const char *path, int flags, mode_t bits) {
	static int (*real)(const char *, int, ...);
	if (!real) real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
	if (strcmp(path, "/dev/video63")) return real(path, flags, bits);
	if (is_gone()) return fail(ENOENT);
	int opened = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (opened >= 0) is_ours[opened] = 1;
	return opened;
}
int open(const char *path, int flags, ...) {
	va_list more; va_start(more, flags);
	mode_t bits = va_arg(more, mode_t); va_end(more);
	return open_node(path, flags, bits);
}
int open64(const char *path, int flags, ...) {
	va_list more; va_start(more, flags);
	mode_t bits = va_arg(more, mode_t); va_end(more);
	return open_node(path, flags, bits);
}
int close(int closed) {
	static int (*real)(int);
	if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "close");
	if (closed >= 0 && closed < 1024) is_ours[closed] = 0;
	if (closed >= 0 && closed == owner) owner = -1, is_on = n_buffers = n_queued = 0;
	return real(closed);
}
static void *map(void *at, size_t length, int protection, int flags, int file, off_t offset) {
	static void *(*real)(void *, size_t, int, int, int, off_t);
	if (!real) real = (void *(*)(void *, size_t, int, int, int, off_t))dlsym(RTLD_NEXT, "mmap");
	if (file < 0 || file >= 1024 || !is_ours[file]) return real(at, length, protection, flags, file, offset);
	return memory[offset / SLOT] = real(at, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
void *mmap(void *at, size_t length, int protection, int flags, int file, off_t offset) {
	return map(at, length, protection, flags, file, offset);
}
void *mmap64(void *at, size_t length, int protection, int flags, int file, off_t offset) {
	return map(at, length, protection, flags, file, offset);
}

static void set_format(struct v4l2_pix_format *pix) {
	const struct mode *best = &MODES[0];
	long least = -1;
	for (size_t i = 0; i < sizeof MODES / sizeof *MODES; i++) {
		if (MODES[i].format != pix->pixelformat) continue;
		long off = labs((long)MODES[i].width - pix->width) + labs((long)MODES[i].height - pix->height);
		if (least < 0 || off < least) least = off, best = &MODES[i];
	}
	pix->pixelformat = best->format, pix->width = best->width, pix->height = best->height;
	pix->field = V4L2_FIELD_NONE, pix->bytesperline = best->width * 2, pix->sizeimage = size_of(best);
	pix->colorspace = V4L2_COLORSPACE_SRGB;
}
static const struct mode *mode_of(const struct v4l2_pix_format *pix) {
	for (size_t i = 0; i < sizeof MODES / sizeof *MODES; i++)
		if (MODES[i].format == pix->pixelformat && MODES[i].width == pix->width) return &MODES[i];
	return &MODES[0];
}
static void fill(struct v4l2_buffer *buffer, long frame) {
	uint8_t *at = memory[buffer->index];
	buffer->bytesused = size_of(mode);
	if (mode->format == V4L2_PIX_FMT_YUYV) {
		for (uint32_t i = 0; i < size_of(mode); i += 2) at[i] = 16 + 8 * (frame % 24), at[i + 1] = 128;
	} else {
		char path[4096];
		snprintf(path, sizeof path, "%s-%u.jpg", getenv("FAKE_JPEG"), mode->height);
		FILE *jpeg = fopen(path, "rb");
		buffer->bytesused = jpeg ? fread(at, 1, size_of(mode), jpeg) : 0;
		if (jpeg) fclose(jpeg);
	}
}
/* Frames that were complete by now went into the queued buffers, in order; a frame without a buffer is lost. */
static long done_frames[MOST];
static int done_buffers[MOST], n_waiting;
static void expose(void) {
	while (on_s + (n_made + 1.0) / mode->rate <= now_s()) {
		if (n_queued) {
			done_frames[n_waiting] = n_made, done_buffers[n_waiting++] = queue[0];
			memmove(queue, queue + 1, sizeof queue - sizeof *queue);
			n_queued--;
		}
		n_made++;
	}
}
/* The descriptor is readable from when the next frame is complete. */
static void wait_for_frame(void) {
	double due_s = n_waiting ? 1e-9 : on_s + (n_made + 1.0) / mode->rate;
	struct itimerspec due = {{0, 0}, {(time_t)due_s, (long)(1e9 * (due_s - (time_t)due_s))}};
	if (!is_on) memset(&due, 0, sizeof due);
	timerfd_settime(owner, TFD_TIMER_ABSTIME, &due, NULL);
}
static int take(struct v4l2_buffer *buffer) {
	expose();
	if (!n_waiting) { wait_for_frame(); return fail(EAGAIN); }
	buffer->index = done_buffers[0];
	fill(buffer, done_frames[0]);
	double complete_s = on_s + (done_frames[0] + 1.0) / mode->rate;
	buffer->timestamp.tv_sec = (time_t)complete_s;
	buffer->timestamp.tv_usec = (suseconds_t)(1e6 * (complete_s - (time_t)complete_s));
	buffer->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC, buffer->sequence = (uint32_t)done_frames[0];
	memmove(done_frames, done_frames + 1, sizeof done_frames - sizeof *done_frames);
	memmove(done_buffers, done_buffers + 1, sizeof done_buffers - sizeof *done_buffers);
	buffer->length = size_of(mode), n_waiting--;
	wait_for_frame();
	return 0;
}
static int start(int on) {
	is_on = on, n_made = n_waiting = 0, on_s = now_s();
	if (!on) n_queued = 0;
	wait_for_frame();
	return 0;
}
static int answer(int file, unsigned long request, void *data) {
	if (is_gone()) return fail(ENODEV);
	switch (request) {
	case VIDIOC_QUERYCAP: {
		struct v4l2_capability *cap = data;
		memset(cap, 0, sizeof *cap);
		strcpy((char *)cap->driver, "uvcvideo"), strcpy((char *)cap->card, "Fake webcam");
		cap->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
		cap->capabilities = cap->device_caps | V4L2_CAP_DEVICE_CAPS;
		return 0;
	}
	case VIDIOC_ENUM_FMT: {
		struct v4l2_fmtdesc *row = data;
		if (row->index > 1) return fail(EINVAL);
		row->pixelformat = FORMATS[row->index], row->flags = row->index ? V4L2_FMT_FLAG_COMPRESSED : 0;
		return 0;
	}
	case VIDIOC_ENUM_FRAMESIZES: {
		struct v4l2_frmsizeenum *row = data;
		uint32_t left = row->index;
		for (size_t i = 0; i < sizeof MODES / sizeof *MODES; i++)
			if (MODES[i].format == row->pixel_format && !left--) {
				row->type = V4L2_FRMSIZE_TYPE_DISCRETE;
				row->discrete.width = MODES[i].width, row->discrete.height = MODES[i].height;
				return 0;
			}
		return fail(EINVAL);
	}
	case VIDIOC_ENUM_FRAMEINTERVALS: {
		struct v4l2_frmivalenum *row = data;
		struct v4l2_pix_format pix = {.pixelformat = row->pixel_format, .width = row->width};
		if (row->index) return fail(EINVAL);
		row->type = V4L2_FRMIVAL_TYPE_DISCRETE, row->discrete.numerator = 1;
		row->discrete.denominator = mode_of(&pix)->rate;
		return 0;
	}
	case VIDIOC_G_FMT: {
		struct v4l2_format *format = data;
		format->fmt.pix.pixelformat = mode->format, format->fmt.pix.width = mode->width;
		format->fmt.pix.height = mode->height;
		set_format(&format->fmt.pix);
		return 0;
	}
	case VIDIOC_TRY_FMT: set_format(&((struct v4l2_format *)data)->fmt.pix); return 0;
	case VIDIOC_S_FMT:
		if (n_buffers) return fail(EBUSY);
		set_format(&((struct v4l2_format *)data)->fmt.pix);
		mode = mode_of(&((struct v4l2_format *)data)->fmt.pix);
		return 0;
	case VIDIOC_S_PARM:
		if (is_on) return fail(EBUSY);
		/* fall through */
	case VIDIOC_G_PARM: {
		struct v4l2_streamparm *parm = data;
		parm->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
		parm->parm.capture.timeperframe.numerator = 1;
		parm->parm.capture.timeperframe.denominator = mode->rate;
		return 0;
	}
	case VIDIOC_G_INPUT: *(int *)data = 0; return 0;
	case VIDIOC_S_INPUT: return *(int *)data ? fail(EINVAL) : 0;
	case VIDIOC_ENUMINPUT: return ((struct v4l2_input *)data)->index ? fail(EINVAL) : 0;
	case VIDIOC_REQBUFS: {
		struct v4l2_requestbuffers *asked = data;
		if (is_on) return fail(EBUSY);
		if (asked->memory != V4L2_MEMORY_MMAP) return fail(EINVAL);
		if (asked->count > MOST) asked->count = MOST;
		if (owner >= 0 && owner != file) return fail(EBUSY);
		n_buffers = (int)asked->count, n_queued = 0, owner = n_buffers ? file : -1;
		return 0;
	}
	case VIDIOC_QUERYBUF: {
		struct v4l2_buffer *buffer = data;
		if ((int)buffer->index >= n_buffers) return fail(EINVAL);
		buffer->length = size_of(mode), buffer->m.offset = buffer->index * SLOT;
		return 0;
	}
	case VIDIOC_QBUF: expose(); queue[n_queued++] = (int)((struct v4l2_buffer *)data)->index; return 0;
	case VIDIOC_DQBUF: return is_on ? take(data) : fail(EINVAL);
	case VIDIOC_STREAMON: return start(1);
	case VIDIOC_STREAMOFF: return start(0);
	case VIDIOC_QUERYCTRL: {
		struct v4l2_queryctrl *row = data;
		for (int i = 0; i < N_CTRL; i++)
			if (ctrls[i].id == row->id) {
				row->minimum = ctrls[i].least, row->maximum = ctrls[i].most, row->step = 1, row->flags = 0;
				row->type = ctrls[i].most == 1 ? V4L2_CTRL_TYPE_BOOLEAN : V4L2_CTRL_TYPE_INTEGER;
				return 0;
			}
		return fail(EINVAL);
	}
	case VIDIOC_G_CTRL:
	case VIDIOC_S_CTRL: {
		struct v4l2_control *control = data;
		for (int i = 0; i < N_CTRL; i++)
			if (ctrls[i].id == control->id) {
				if (request == VIDIOC_S_CTRL) {
					if (control->value < ctrls[i].least || control->value > ctrls[i].most) return fail(ERANGE);
					ctrls[i].value = control->value;
				}
				control->value = ctrls[i].value;
				return 0;
			}
		return fail(EINVAL);
	}
	default: return fail(ENOTTY);
	}
}
int ioctl(int file, unsigned long request, ...) {
	static int (*real)(int, unsigned long, ...);
	if (!real) real = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
	va_list more; va_start(more, request);
	void *data = va_arg(more, void *); va_end(more);
	if (file < 0 || file >= 1024 || !is_ours[file]) return real(file, request, data);
	return answer(file, request & 0xffffffffu, data);
}
