/* As much of libusb-1.0 as librtlsdr uses, on the dongles of the emulated bus.
 *
 * Loaded before the real one (LD_PRELOAD), it serves programs that were not changed.
 *
 *     submit ──▶ queue of the handle ──time passes──▶ handle_events ──▶ callback ──▶ submit …
 *
 * Each transfer knows from its submission which samples it will hold: it begins where the one
 * before it ends, or later, if no transfer was waiting in the meantime: those samples are lost,
 * as they are on a real bus.
 */
#define _GNU_SOURCE
#include "bus.h"
#include "dongle.h"

#include <libusb.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIFO_SAMPLES 2048 /* what the chip itself keeps */
#define TICK_S 0.01       /* how often faults are looked for while waiting */
#define EPA_CTL 0x2148    /* USB block: resets the streaming endpoint */

struct libusb_context {
    pthread_mutex_t mutex; /* guards its handles and their queues */
    pthread_cond_t changed;
    struct libusb_device_handle *handles;
};

struct libusb_device {
    struct libusb_context *context;
    int slot, references;
};

struct pending {
    struct libusb_transfer *transfer;
    int64_t first; /* number of its first sample */
    int cancelled;
    struct pending *next;
};

struct libusb_device_handle {
    struct libusb_device *device;
    struct libusb_device_handle *next;
    struct dongle dongle;
    pthread_mutex_t registers;
    struct pending *oldest, *newest;
    int64_t queue_end; /* number of the sample after the last that was asked for */
    int streaming, generation, lock_fd;
};

static struct libusb_context default_context = {
    PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL};

static struct libusb_context *context_or_default(struct libusb_context *context)
{
    return context ? context : &default_context;
}

static struct bus_slot *slot_of(const struct libusb_device_handle *h)
{
    return &bus_get()->slots[h->device->slot];
}

static int is_gone(const struct libusb_device_handle *h)
{
    return !slot_of(h)->present || slot_of(h)->generation != h->generation;
}

/* ── contexts and devices ───────────────────────────────────────────────────────────────── */

int libusb_init(libusb_context **out)
{
    if (!out)
        return 0;
    libusb_context *context = calloc(1, sizeof *context);
    pthread_mutex_init(&context->mutex, NULL);
    pthread_cond_init(&context->changed, NULL);
    *out = context;
    return 0;
}

void libusb_exit(libusb_context *context)
{
    if (context && context != &default_context)
        free(context);
}

ssize_t libusb_get_device_list(libusb_context *context, libusb_device ***out)
{
    struct bus *bus = bus_get();
    libusb_device **list = calloc(BUS_SLOTS + 1, sizeof *list);
    int n = 0;
    for (int i = 0; i < BUS_SLOTS; i++) {
        if (!bus->slots[i].present)
            continue;
        libusb_device *device = calloc(1, sizeof *device);
        device->context = context_or_default(context);
        device->slot = i;
        device->references = 1;
        int at = n++;
        for (; at && bus->slots[list[at - 1]->slot].port > bus->slots[i].port; at--)
            list[at] = list[at - 1];
        list[at] = device;
    }
    *out = list;
    return n;
}

libusb_device *libusb_ref_device(libusb_device *device)
{
    device->references++;
    return device;
}

void libusb_unref_device(libusb_device *device)
{
    if (!--device->references)
        free(device);
}

void libusb_free_device_list(libusb_device **list, int unref)
{
    for (int i = 0; unref && list && list[i]; i++)
        libusb_unref_device(list[i]);
    free(list);
}

int libusb_get_device_descriptor(libusb_device *device, struct libusb_device_descriptor *out)
{
    (void)device;
    memset(out, 0, sizeof *out);
    out->bLength = 18;
    out->bDescriptorType = LIBUSB_DT_DEVICE;
    out->bcdUSB = 0x0200;
    out->idVendor = 0x0bda;
    out->idProduct = 0x2838;
    out->iManufacturer = 1;
    out->iProduct = 2;
    out->iSerialNumber = 3;
    out->bNumConfigurations = 1;
    return 0;
}

uint8_t libusb_get_bus_number(libusb_device *device) { (void)device; return 1; }

uint8_t libusb_get_port_number(libusb_device *device)
{
    return (uint8_t)bus_get()->slots[device->slot].port;
}

uint8_t libusb_get_device_address(libusb_device *device) { return (uint8_t)(device->slot + 2); }

int libusb_get_string_descriptor_ascii(libusb_device_handle *h, uint8_t index, unsigned char *out,
                                       int length)
{
    struct bus_slot *slot = slot_of(h);
    const char *text[] = {"", slot->manufacturer, slot->product, slot->serial};
    if (is_gone(h))
        return LIBUSB_ERROR_NO_DEVICE;
    if (index < 1 || index > 3)
        return LIBUSB_ERROR_INVALID_PARAM;
    strncpy((char *)out, text[index], (size_t)length - 1);
    out[length - 1] = 0;
    return (int)strlen((char *)out);
}

/* ── handles ────────────────────────────────────────────────────────────────────────────── */

int libusb_open(libusb_device *device, libusb_device_handle **out)
{
    struct bus_slot *slot = &bus_get()->slots[device->slot];
    if (slot->open_error)
        return slot->open_error;
    if (!slot->present)
        return LIBUSB_ERROR_NO_DEVICE;
    libusb_device_handle *h = calloc(1, sizeof *h);
    h->device = libusb_ref_device(device);
    h->generation = slot->generation;
    h->lock_fd = -1;
    pthread_mutex_init(&h->registers, NULL);
    dongle_init(&h->dongle, slot);
    pthread_mutex_lock(&device->context->mutex);
    h->next = device->context->handles;
    device->context->handles = h;
    pthread_mutex_unlock(&device->context->mutex);
    *out = h;
    return 0;
}

void libusb_close(libusb_device_handle *h)
{
    struct libusb_context *context = h->device->context;
    pthread_mutex_lock(&context->mutex);
    for (struct libusb_device_handle **at = &context->handles; *at; at = &(*at)->next) {
        if (*at == h) {
            *at = h->next;
            break;
        }
    }
    pthread_mutex_unlock(&context->mutex);
    libusb_release_interface(h, 0);
    while (h->oldest) {
        struct pending *p = h->oldest;
        h->oldest = p->next;
        free(p);
    }
    dongle_free(&h->dongle);
    libusb_unref_device(h->device);
    free(h);
}

libusb_device *libusb_get_device(libusb_device_handle *h) { return h->device; }

int libusb_claim_interface(libusb_device_handle *h, int interface)
{
    (void)interface;
    struct bus_slot *slot = slot_of(h);
    if (is_gone(h))
        return LIBUSB_ERROR_NO_DEVICE;
    if (slot->kernel_driver || slot->held_elsewhere)
        return LIBUSB_ERROR_BUSY;
    if (h->lock_fd < 0 && bus_claim(h->device->slot, &h->lock_fd) < 0)
        return LIBUSB_ERROR_BUSY;
    slot->opens++;
    return 0;
}

int libusb_release_interface(libusb_device_handle *h, int interface)
{
    (void)interface;
    if (h->lock_fd >= 0)
        close(h->lock_fd);
    h->lock_fd = -1;
    return 0;
}

int libusb_kernel_driver_active(libusb_device_handle *h, int interface)
{
    (void)interface;
    return slot_of(h)->kernel_driver;
}

int libusb_detach_kernel_driver(libusb_device_handle *h, int interface)
{
    (void)interface;
    slot_of(h)->kernel_driver = 0;
    return 0;
}

int libusb_attach_kernel_driver(libusb_device_handle *h, int interface)
{
    (void)interface;
    slot_of(h)->kernel_driver = 1;
    return 0;
}

int libusb_set_auto_detach_kernel_driver(libusb_device_handle *h, int on)
{
    (void)h;
    (void)on;
    return LIBUSB_ERROR_NOT_SUPPORTED;
}

int libusb_set_configuration(libusb_device_handle *h, int configuration)
{
    (void)configuration;
    return is_gone(h) ? LIBUSB_ERROR_NO_DEVICE : 0;
}

int libusb_reset_device(libusb_device_handle *h)
{
    return is_gone(h) ? LIBUSB_ERROR_NOT_FOUND : 0;
}

/* Memory that a kernel would write into; zeroed, as librtlsdr checks. */
unsigned char *libusb_dev_mem_alloc(libusb_device_handle *h, size_t length)
{
    return is_gone(h) ? NULL : calloc(1, length);
}

int libusb_dev_mem_free(libusb_device_handle *h, unsigned char *buffer, size_t length)
{
    (void)h;
    (void)length;
    free(buffer);
    return 0;
}

int libusb_control_transfer(libusb_device_handle *h, uint8_t type, uint8_t request, uint16_t value,
                            uint16_t index, unsigned char *data, uint16_t length,
                            unsigned int timeout_ms)
{
    struct bus_slot *slot = slot_of(h);
    (void)request;
    (void)timeout_ms;
    while (slot->hang)
        usleep(10000);
    if (slot->vanish_after && !--slot->vanish_after)
        slot->present = 0;
    if (is_gone(h))
        return LIBUSB_ERROR_NO_DEVICE;
    int is_read = type & LIBUSB_ENDPOINT_IN;
    pthread_mutex_lock(&h->registers);
    if (!is_read && index >> 8 == 1 && value == EPA_CTL)
        h->streaming = 0;
    int result = dongle_control(&h->dongle, is_read, value, index, data, length);
    pthread_mutex_unlock(&h->registers);
    return result;
}

/* ── streaming ──────────────────────────────────────────────────────────────────────────── */

/* Number of the first sample of a transfer that is submitted now. */
static int64_t reserve(struct libusb_device_handle *h, int n_samples)
{
    struct bus_slot *slot = slot_of(h);
    pthread_mutex_lock(&h->registers);
    int64_t earliest = (int64_t)dongle_sample_now(&h->dongle);
    if (!h->streaming) {
        h->streaming = 1;
        h->queue_end = earliest;
    }
    int64_t first = h->queue_end;
    if (first < earliest - FIFO_SAMPLES)
        first = earliest;
    if (slot->lose_samples) {
        first += slot->lose_samples;
        slot->lose_samples = 0;
    }
    slot->samples_lost += first - h->queue_end;
    h->queue_end = first + n_samples;
    pthread_mutex_unlock(&h->registers);
    return first;
}

static double due_s(struct libusb_device_handle *h, int64_t first, int n_samples)
{
    pthread_mutex_lock(&h->registers);
    double at_s = dongle_time_of(&h->dongle, first + n_samples);
    pthread_mutex_unlock(&h->registers);
    return at_s;
}

static void fill(struct libusb_device_handle *h, int64_t first, uint8_t *out, int n_bytes)
{
    if (slot_of(h)->crash)
        raise(SIGSEGV);
    pthread_mutex_lock(&h->registers);
    dongle_samples(&h->dongle, first, out, n_bytes / 2);
    pthread_mutex_unlock(&h->registers);
}

int libusb_bulk_transfer(libusb_device_handle *h, unsigned char endpoint, unsigned char *data,
                         int length, int *transferred, unsigned int timeout_ms)
{
    (void)endpoint;
    double end_s = clock_now_s() + (timeout_ms ? timeout_ms / 1e3 : 1e9);
    int64_t first = reserve(h, length / 2);
    if (transferred)
        *transferred = 0;
    for (;;) {
        double now_s = clock_now_s(), left_s = due_s(h, first, length / 2) - now_s;
        if (is_gone(h))
            return LIBUSB_ERROR_NO_DEVICE;
        if (left_s <= 0 && !slot_of(h)->stalled)
            break;
        if (now_s > end_s)
            return LIBUSB_ERROR_TIMEOUT;
        usleep((useconds_t)(1e6 * (left_s > 0 && left_s < TICK_S ? left_s : TICK_S)));
    }
    fill(h, first, data, length);
    if (transferred)
        *transferred = length;
    return 0;
}

struct libusb_transfer *libusb_alloc_transfer(int iso_packets)
{
    return calloc(1, sizeof(struct libusb_transfer) +
                         (size_t)iso_packets * sizeof(struct libusb_iso_packet_descriptor));
}

void libusb_free_transfer(struct libusb_transfer *transfer) { free(transfer); }

int libusb_submit_transfer(struct libusb_transfer *transfer)
{
    struct libusb_device_handle *h = transfer->dev_handle;
    struct libusb_context *context = h->device->context;
    if (is_gone(h))
        return LIBUSB_ERROR_NO_DEVICE;
    struct pending *p = calloc(1, sizeof *p);
    p->transfer = transfer;
    p->first = reserve(h, transfer->length / 2);
    pthread_mutex_lock(&context->mutex);
    if (h->oldest)
        h->newest->next = p;
    else
        h->oldest = p;
    h->newest = p;
    pthread_cond_broadcast(&context->changed);
    pthread_mutex_unlock(&context->mutex);
    return 0;
}

int libusb_cancel_transfer(struct libusb_transfer *transfer)
{
    struct libusb_device_handle *h = transfer->dev_handle;
    struct libusb_context *context = h->device->context;
    int result = LIBUSB_ERROR_NOT_FOUND;
    pthread_mutex_lock(&context->mutex);
    for (struct pending *p = h->oldest; p; p = p->next) {
        if (p->transfer == transfer && !p->cancelled) {
            p->cancelled = 1;
            result = 0;
        }
    }
    pthread_cond_broadcast(&context->changed);
    pthread_mutex_unlock(&context->mutex);
    return result;
}

/* Take a transfer that has ended off its queue; NULL if there is none yet. Under the mutex. */
static struct pending *ended(struct libusb_device_handle *h, double *next_s)
{
    struct pending **cancelled = &h->oldest;
    while (*cancelled && !(*cancelled)->cancelled)
        cancelled = &(*cancelled)->next;
    struct pending **at = *cancelled ? cancelled : &h->oldest, *p = *at;
    if (!p)
        return NULL;
    if (!p->cancelled && !is_gone(h)) {
        double at_s = due_s(h, p->first, p->transfer->length / 2);
        if (slot_of(h)->stalled)
            return NULL;
        if (at_s > clock_now_s()) {
            *next_s = at_s < *next_s ? at_s : *next_s;
            return NULL;
        }
    }
    *at = p->next;
    h->newest = NULL;
    for (struct pending *rest = h->oldest; rest; rest = rest->next)
        h->newest = rest;
    return p;
}

static void complete(struct libusb_device_handle *h, struct pending *p)
{
    struct libusb_transfer *transfer = p->transfer;
    transfer->actual_length = 0;
    if (p->cancelled) {
        transfer->status = LIBUSB_TRANSFER_CANCELLED;
    } else if (is_gone(h)) {
        transfer->status = LIBUSB_TRANSFER_NO_DEVICE;
    } else {
        fill(h, p->first, transfer->buffer, transfer->length);
        transfer->actual_length = transfer->length;
        transfer->status = LIBUSB_TRANSFER_COMPLETED;
    }
    free(p);
    transfer->callback(transfer);
}

static void wait_until(struct libusb_context *context, double at_s)
{
    struct timespec t;
    double left_s = at_s - clock_now_s();
    if (left_s <= 0)
        return;
    if (left_s > TICK_S)
        left_s = TICK_S;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += (long)(left_s * 1e9);
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&context->changed, &context->mutex, &t);
}

int libusb_handle_events_timeout_completed(libusb_context *given, struct timeval *timeout,
                                           int *completed)
{
    struct libusb_context *context = context_or_default(given);
    double end_s = clock_now_s() + (timeout ? (double)timeout->tv_sec + 1e-6 * (double)timeout->tv_usec : 60);
    int n_done = 0;
    pthread_mutex_lock(&context->mutex);
    for (;;) {
        double next_s = end_s;
        struct pending *p = NULL;
        struct libusb_device_handle *h;
        for (h = context->handles; h; h = h->next) {
            if ((p = ended(h, &next_s)))
                break;
        }
        if (p) {
            pthread_mutex_unlock(&context->mutex);
            complete(h, p);
            pthread_mutex_lock(&context->mutex);
            if (++n_done < 64)
                continue;
        }
        if (n_done || (completed && *completed) || clock_now_s() >= end_s)
            break;
        wait_until(context, next_s);
    }
    pthread_mutex_unlock(&context->mutex);
    return 0;
}

int libusb_handle_events_timeout(libusb_context *context, struct timeval *timeout)
{
    return libusb_handle_events_timeout_completed(context, timeout, NULL);
}

int libusb_handle_events(libusb_context *context)
{
    return libusb_handle_events_timeout_completed(context, NULL, NULL);
}

const char *libusb_error_name(int code) { return code ? "LIBUSB_ERROR" : "LIBUSB_SUCCESS"; }

const char *LIBUSB_CALL libusb_strerror(int code) { return code ? "Error" : "Success"; }
