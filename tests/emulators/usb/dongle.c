/* Registers after the RTL2832U's and R820T's data sheets, as far as librtlsdr uses them. */
#include "dongle.h"

#include <libusb.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CRYSTAL_HZ 28.8e6
#define V4_UPCONVERTER_HZ 28.8e6
#define SETTLE_S 0.004 /* the PLL locks again, and the filters fill */

enum block { DEMOD = 0, USB = 1, SYS = 2, I2C = 6 };
enum { ADDRESS_R820T = 0x34, ADDRESS_R828D = 0x74, ADDRESS_EEPROM = 0xa0 };
enum { GPO = 0x3001 };

static double two_pow(int n) { return ldexp(1.0, n); }

double clock_now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double dongle_sample_now(const struct dongle *d)
{
    return d->clock_sample + (clock_now_s() - d->clock_s) * d->now.rate_hz;
}

double dongle_time_of(const struct dongle *d, int64_t sample)
{
    return d->clock_s + ((double)sample - d->clock_sample) / d->now.rate_hz;
}

/* ── tuning ─────────────────────────────────────────────────────────────────────────────── */

static double nominal_rate_hz(const struct dongle *d)
{
    const uint8_t *p = d->demod[1];
    uint32_t ratio = (uint32_t)p[0x9f] << 24 | p[0xa0] << 16 | p[0xa1] << 8 | p[0xa2];
    if (!ratio)
        return 2.048e6;
    ratio |= (ratio & 0x08000000) << 1;
    int32_t correction = (p[0x3e] & 0x3f) << 8 | p[0x3f]; /* 14 bits, two's complement, 2^-24 */
    if (correction & 0x2000)
        correction -= 0x4000;
    return CRYSTAL_HZ * two_pow(22) / ratio * (1.0 + correction / two_pow(24));
}

static double intermediate_hz(const struct dongle *d)
{
    const uint8_t *p = d->demod[1];
    int32_t step = (p[0x19] & 0x3f) << 16 | p[0x1a] << 8 | p[0x1b];
    if (step & 0x200000)
        step -= 0x400000;
    return -step * CRYSTAL_HZ / two_pow(22);
}

static double vco_hz(const struct dongle *d)
{
    const uint8_t *r = d->tuner;
    double crystal_hz = CRYSTAL_HZ;
    if (d->slot->tuner == 1 && strncmp(d->slot->product, "Blog V4", 7) != 0)
        crystal_hz = 16e6; /* R828D has a crystal of its own; the Blog V4 has not */
    double n = 4.0 * (r[0x14] & 0x3f) + (r[0x14] >> 6) + 13.0;
    if (!(r[0x12] & 0x08)) /* the sigma-delta modulator is on */
        n += (r[0x16] << 8 | r[0x15]) / 65536.0;
    return 2.0 * crystal_hz * n;
}

static double oscillator_hz(const struct dongle *d)
{
    return vco_hz(d) / (2 << (d->tuner[0x10] >> 5));
}

static int pll_is_locked(const struct dongle *d)
{
    return vco_hz(d) > 1.7e9 && vco_hz(d) < 4.0e9;
}

static double nominal_center_hz(const struct dongle *d)
{
    int inverted = d->demod[1][0x15] & 1; /* the tuner's path is; direct sampling is not */
    d->slot->direct_sampling = !inverted;
    if (!inverted)
        return intermediate_hz(d);
    double center_hz = oscillator_hz(d) - intermediate_hz(d);
    int hf_input = d->slot->tuner == 1 && (d->tuner[0x06] & 0x08); /* "cable 2" */
    return hf_input ? center_hz - V4_UPCONVERTER_HZ : center_hz;
}

static void retune(struct dongle *d)
{
    double at = dongle_sample_now(d), error = 1.0 + d->slot->ppm * 1e-6;
    struct bus_slot *slot = d->slot;
    slot->center_hz = nominal_center_hz(d);
    slot->rate_hz = nominal_rate_hz(d);
    struct tuning next = {slot->center_hz * error, slot->rate_hz * error};
    if (next.center_hz == d->now.center_hz && next.rate_hz == d->now.rate_hz)
        return;
    d->clock_sample = at;
    d->clock_s = clock_now_s();
    d->before = d->now;
    d->now = next;
    d->changed_at = (int64_t)(at + SETTLE_S * next.rate_hz);
}

/* ── registers ──────────────────────────────────────────────────────────────────────────── */

static uint8_t reversed(uint8_t b)
{
    uint8_t out = 0;
    for (int i = 0; i < 8; i++)
        out |= (uint8_t)((b >> i & 1) << (7 - i));
    return out;
}

/* Reading always begins at register 0, and the bits come in the other order. */
static void read_tuner(const struct dongle *d, uint8_t *data, int n)
{
    for (int i = 0; i < n; i++) {
        uint8_t value = d->tuner[i];
        if (i == 0)
            value = 0x96; /* which tuner it is: 0x69, reversed */
        else if (i == 2)
            value = (uint8_t)(pll_is_locked(d) << 6 | (value & 0x3f));
        else if (i == 3)
            value = 0;
        else if (i == 4)
            value = d->slot->tuner == 1 ? 0x12 : 0x22; /* VCO fine tuning, filter calibration */
        data[i] = reversed(value);
    }
}

static double gain_against_reference(const struct bus_slot *slot)
{
    static const int lna[] = {0, 9, 13, 40, 38, 13, 31, 22, 26, 31, 26, 14, 19, 5, 35, 13};
    static const int mixer[] = {0, 5, 10, 10, 19, 9, 10, 25, 17, 10, 8, 16, 13, 6, 3, -8};
    int tenth_db = -280;
    if (!slot->follows_gain || !slot->gain_is_manual)
        return 1.0;
    for (int i = 0; i <= slot->lna_index; i++)
        tenth_db += lna[i];
    for (int i = 0; i <= slot->mixer_index; i++)
        tenth_db += mixer[i];
    return pow(10.0, tenth_db / 200.0);
}

static void write_tuner(struct dongle *d, const uint8_t *data, int n)
{
    for (int i = 1; i < n; i++)
        d->tuner[(uint8_t)(data[0] + i - 1)] = data[i];
    d->slot->gain_is_manual = d->tuner[0x05] >> 4 & 1;
    d->slot->lna_index = d->tuner[0x05] & 0x0f;
    d->slot->mixer_index = d->tuner[0x07] & 0x0f;
    d->gain = gain_against_reference(d->slot);
    retune(d);
}

static int i2c(struct dongle *d, int is_read, uint8_t address, uint8_t *data, uint16_t n)
{
    static const uint8_t tuners[] = {ADDRESS_R820T, ADDRESS_R828D, 0};
    if (address == tuners[d->slot->tuner]) {
        if (is_read)
            read_tuner(d, data, n);
        else
            write_tuner(d, data, n);
        return n;
    }
    if (address == ADDRESS_EEPROM && n) {
        if (!is_read) {
            d->eeprom_at = data[0];
            if (n == 2)
                d->eeprom[data[0]] = data[1];
        }
        for (int i = 0; is_read && i < n; i++)
            data[i] = d->eeprom[d->eeprom_at++];
        return n;
    }
    return LIBUSB_ERROR_PIPE; /* nobody answers: how other tuners are ruled out */
}

static void copy(uint8_t *bank, unsigned mask, unsigned at, int is_read, uint8_t *data, int n)
{
    for (int i = 0; i < n; i++) {
        if (is_read)
            data[i] = bank[(at + i) & mask];
        else
            bank[(at + i) & mask] = data[i];
    }
}

int dongle_control(struct dongle *d, int is_read, uint16_t value, uint16_t index, uint8_t *data,
                   uint16_t n)
{
    switch (index >> 8) {
    case I2C:
        return i2c(d, is_read, value & 0xff, data, n);
    case USB:
        copy(d->usb, 0xffff, value, is_read, data, n);
        return n;
    case SYS:
        copy(d->sys, 0xffff, value, is_read, data, n);
        d->slot->bias_tee = d->sys[GPO] & 1;
        return n;
    case DEMOD:
        copy(d->demod[index & 0xf], 0xff, value >> 8, is_read, data, n);
        if (!is_read)
            retune(d);
        return n;
    default:
        if (is_read)
            memset(data, 0, n);
        return n;
    }
}

/* ── samples ────────────────────────────────────────────────────────────────────────────── */

static uint32_t next_random(struct dongle *d)
{
    d->random ^= d->random << 13;
    d->random ^= d->random >> 17;
    d->random ^= d->random << 5;
    return d->random;
}

static void make_noise(struct dongle *d)
{
    d->noise_lsb = d->slot->noise_lsb * d->gain;
    for (int i = 0; i < 65536; i++) {
        double sum = 0; /* of twelve uniform numbers: near enough to a normal one */
        for (int k = 0; k < 12; k++)
            sum += next_random(d) / two_pow(32);
        d->noise[i] = (int8_t)fmax(-127, fmin(127, lrint((sum - 6.0) * 4.0 * d->noise_lsb)));
    }
}

static uint8_t digitised(float v)
{
    int rounded = (int)(v + 0.5f);
    return rounded < 0 ? 0 : rounded > 255 ? 255 : (uint8_t)rounded;
}

struct phasor { float re, im, step_re, step_im; };

static int phasors(const struct dongle *d, struct tuning at, int64_t first, struct phasor *out)
{
    int n = 0;
    for (int k = 0; k < d->slot->n_tones && k < BUS_TONES; k++) {
        struct bus_tone tone = d->slot->tones[k];
        double cycles = (tone.rf_hz - at.center_hz) / at.rate_hz; /* a sample */
        if (fabs(cycles) >= 0.5)
            continue;
        double phase = 2 * M_PI * fmod(cycles * (double)first, 1.0), step = 2 * M_PI * cycles;
        double amplitude = tone.amplitude_lsb * d->gain;
        out[n++] = (struct phasor){(float)(amplitude * cos(phase)), (float)(amplitude * sin(phase)),
                                   (float)cos(step), (float)sin(step)};
    }
    return n;
}

static void tones_and_noise(struct dongle *d, struct tuning at, int64_t first, uint8_t *out, int n)
{
    struct phasor tones[BUS_TONES];
    int n_tones = phasors(d, at, first, tones);
    float zero = 127.4f + (float)d->slot->dc_lsb;
    if (d->noise_lsb != d->slot->noise_lsb * d->gain)
        make_noise(d);
    for (int i = 0; i < n; i++) {
        uint32_t r = next_random(d);
        float in_phase = zero + 0.25f * d->noise[r & 0xffff];
        float quadrature = zero + 0.25f * d->noise[r >> 16];
        for (int k = 0; k < n_tones; k++) {
            struct phasor *t = &tones[k];
            in_phase += t->re;
            quadrature += t->im;
            float re = t->re * t->step_re - t->im * t->step_im;
            t->im = t->re * t->step_im + t->im * t->step_re;
            t->re = re;
        }
        out[2 * i] = digitised(in_phase);
        out[2 * i + 1] = digitised(quadrature);
    }
}

static void from_file(struct dongle *d, int64_t first, uint8_t *out, int n)
{
    fseek(d->iq, 0, SEEK_END);
    int64_t whole = ftell(d->iq) / 2;
    for (int done = 0; whole > 0 && done < n;) {
        int64_t at = (first + done) % whole;
        int here = n - done < whole - at ? n - done : (int)(whole - at);
        fseek(d->iq, (long)(2 * at), SEEK_SET);
        if (fread(out + 2 * done, 2, (size_t)here, d->iq) != (size_t)here)
            break;
        done += here;
    }
}

/* A chunk at a time: single precision would drift on a long one. */
static void chunked(struct dongle *d, struct tuning at, int64_t first, uint8_t *out, int n)
{
    enum { CHUNK = 4096 };
    for (int done = 0; done < n; done += CHUNK)
        tones_and_noise(d, at, first + done, out + 2 * done, n - done < CHUNK ? n - done : CHUNK);
}

void dongle_samples(struct dongle *d, int64_t first, uint8_t *out, int n)
{
    d->slot->samples_given += n;
    if (d->demod[0][0x19] == 0x03) { /* test mode: a counter of bytes */
        for (int i = 0; i < 2 * n; i++)
            out[i] = (uint8_t)(2 * first + i);
        return;
    }
    if (d->iq) {
        from_file(d, first, out, n);
        return;
    }
    int64_t old = d->changed_at - first;
    int n_old = old < 0 ? 0 : old > n ? n : (int)old;
    chunked(d, d->before, first, out, n_old);
    chunked(d, d->now, first + n_old, out + 2 * n_old, n - n_old);
}

/* ── life ───────────────────────────────────────────────────────────────────────────────── */

void dongle_init(struct dongle *d, struct bus_slot *slot)
{
    memset(d, 0, sizeof *d);
    d->slot = slot;
    d->random = 2463534242u;
    for (const char *c = slot->serial; *c; c++)
        d->random = d->random * 31u + (uint32_t)*c;
    d->random |= 1u;
    d->gain = 1.0;
    make_noise(d);
    d->clock_s = clock_now_s();
    d->now.rate_hz = 2.048e6;
    if (slot->iq_path[0])
        d->iq = fopen(slot->iq_path, "rb");
}

void dongle_free(struct dongle *d)
{
    if (d->iq)
        fclose(d->iq);
}
