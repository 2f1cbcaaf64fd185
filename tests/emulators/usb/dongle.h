/* One RTL2832U with its R820T or R828D tuner: registers in, tuning and samples out. */
#ifndef DONGLE_H
#define DONGLE_H

#include "bus.h"

#include <stdint.h>
#include <stdio.h>

struct tuning {
    double center_hz; /* in truth: with the crystal's error */
    double rate_hz;
};

struct dongle {
    struct bus_slot *slot;
    uint8_t usb[65536];       /* USB block, by address */
    uint8_t sys[65536];       /* system block: GPIO among others */
    uint8_t demod[16][256];   /* demodulator pages */
    uint8_t tuner[256];       /* R82xx, over I2C */
    uint8_t eeprom[256];
    uint8_t eeprom_at;

    struct tuning now, before; /* `before` holds for samples up to `changed_at` */
    int64_t changed_at;

    double clock_s;            /* when sample `clock_sample` was taken, CLOCK_MONOTONIC */
    double clock_sample;

    uint32_t random;
    int8_t noise[65536];       /* quarter LSB */
    double noise_lsb;          /* what the table was made for */
    double gain;               /* amplitude, against the gain that tones are given at */
    FILE *iq;
};

void dongle_init(struct dongle *d, struct bus_slot *slot);
void dongle_free(struct dongle *d);

/* A vendor control transfer; the number of bytes, or a libusb error. */
int dongle_control(struct dongle *d, int is_read, uint16_t value, uint16_t index, uint8_t *data,
                   uint16_t length);

/* Number of the sample that is taken at this moment, counted since it was opened. */
double dongle_sample_now(const struct dongle *d);

/* When a sample is taken, CLOCK_MONOTONIC seconds. */
double dongle_time_of(const struct dongle *d, int64_t sample);

/* Samples from number `first` on: interleaved I, Q, 8 bit, zero at 127.4. */
void dongle_samples(struct dongle *d, int64_t first, uint8_t *out, int n_samples);

double clock_now_s(void);

#endif
