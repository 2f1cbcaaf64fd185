// A SoapySDR driver for tests: driver=heimdallsim is a receiver of two channels that hears one tone
// in each, and fails as asked.
//
//   g++ -O2 -std=c++17 -shared -fPIC heimdallsim.cpp -o libheimdallsim.so -lSoapySDR
//   SOAPY_SDR_PLUGIN_PATH=<its folder> SoapySDRUtil --find=driver=heimdallsim
//
// Device arguments (all optional):
//   tone, tone1        frequency of the tone that channel 0, 1 hears [Hz]; default 100.25e6
//   amplitude, noise   share of full scale, 0…1, and its standard deviation; 0.3, 0.01
//   format             what the converter gives: CU8, CS8, CS16 (default) or CF32
//   full_scale         the number that is full scale in CS16; 32768 (a 12-bit converter: 2048)
//   crystal_ppm        by how much the tuner's crystal is fast; 0
//   time               1 (default): reads carry the hardware's time, which counts samples; 0: not
//   overflow_every     after each so many samples, overflow_samples (1000) are lost, and said so
//   die_after, hang_after, crash_after
//                      after so many samples a read fails, never returns, or ends in SIGSEGV
//   tune_fails_above, tune_hangs_above
//                      tuning beyond that frequency [Hz] is an error, or never returns
//   open               "fail", "hang" or "crash": what opening comes to
//   control            a file; whoever writes it (by renaming another) gives orders, one a line:
//                      overflow N | lose N (unsaid) | corrupt | die | hang | crash | stall | jump N (ns)
//   record             a file that gets a line for each setting as it is made
#include <SoapySDR/Device.hpp>
#include <SoapySDR/Formats.hpp>
#include <SoapySDR/Registry.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <complex>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t N_CHANNELS = 2;
constexpr size_t MTU = 16384;
constexpr double BACKLOG_S = 0.5;  // what the device keeps for a host that is late
constexpr long long NEVER = -1;

[[noreturn]] void hang() {
    for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
}

[[noreturn]] void crash() {
    std::signal(SIGSEGV, SIG_DFL);
    std::raise(SIGSEGV);
    std::abort();
}

std::string text(const SoapySDR::Kwargs &args, const std::string &key, const std::string &otherwise) {
    const auto found = args.find(key);
    return found == args.end() ? otherwise : found->second;
}

double number(const SoapySDR::Kwargs &args, const std::string &key, double otherwise) {
    const auto found = args.find(key);
    return found == args.end() ? otherwise : std::stod(found->second);
}

struct Channel {
    double tone_hz = 100.25e6, center_hz = 100e6, bandwidth_hz = 0, correction_ppm = 0;
    double lna_db = 0, vga_db = 0;
    bool agc = false;
    std::string antenna = "RX";
};

// Writes one complex sample of full scale 1.0 in the format of the stream.
class Writer {
  public:
    Writer(const std::string &format, double full_scale) : format_(format), full_scale_(full_scale) {}

    void put(void *buffer, size_t index, std::complex<double> sample) const {
        const double parts[2] = {sample.real(), sample.imag()};
        for (size_t i = 0; i < 2; i++) {
            const size_t at = 2 * index + i;
            if (format_ == SOAPY_SDR_CF32) static_cast<float *>(buffer)[at] = float(parts[i]);
            else if (format_ == SOAPY_SDR_CS16)
                static_cast<int16_t *>(buffer)[at] = clipped<int16_t>(parts[i] * full_scale_, full_scale_);
            else if (format_ == SOAPY_SDR_CS8)
                static_cast<int8_t *>(buffer)[at] = clipped<int8_t>(parts[i] * 128, 128);
            else static_cast<uint8_t *>(buffer)[at] =
                    uint8_t(std::clamp(std::lround(parts[i] * 127.5 + 127.5), 0L, 255L));
        }
    }

  private:
    template <typename Integer> static Integer clipped(double value, double full_scale) {
        return Integer(std::clamp(std::round(value), -full_scale, full_scale - 1));
    }

    std::string format_;
    double full_scale_;
};

class HeimdallSim : public SoapySDR::Device {
  public:
    explicit HeimdallSim(const SoapySDR::Kwargs &args)
        : native_(text(args, "format", SOAPY_SDR_CS16)),
          full_scale_(native_ == SOAPY_SDR_CS16 ? number(args, "full_scale", 32768) : nominal(native_)),
          amplitude_(number(args, "amplitude", 0.3)), noise_(number(args, "noise", 0.01)),
          crystal_ppm_(number(args, "crystal_ppm", 0)), has_time_(number(args, "time", 1) != 0),
          overflow_every_((long long)number(args, "overflow_every", 0)),
          overflow_samples_((long long)number(args, "overflow_samples", 1000)),
          die_after_((long long)number(args, "die_after", NEVER)),
          hang_after_((long long)number(args, "hang_after", NEVER)),
          crash_after_((long long)number(args, "crash_after", NEVER)),
          tune_fails_above_(number(args, "tune_fails_above", HUGE_VAL)),
          tune_hangs_above_(number(args, "tune_hangs_above", HUGE_VAL)),
          control_(text(args, "control", "")), record_(text(args, "record", "")) {
        const std::string opening = text(args, "open", "");
        if (opening == "hang") hang();
        if (opening == "crash") crash();
        if (opening == "fail") throw std::runtime_error("heimdallsim: asked to fail in open");
        channels_[0].tone_hz = number(args, "tone", 100.25e6);
        channels_[1].tone_hz = number(args, "tone1", 100.25e6);
        std::mt19937 random(1);
        std::normal_distribution<double> normal(0, 1);
        for (auto &value : noise_table_) value = noise_ * normal(random);
        next_overflow_ = overflow_every_;
    }

    std::string getDriverKey() const override { return "heimdallsim"; }
    std::string getHardwareKey() const override { return "HEIMDALLSIM"; }
    SoapySDR::Kwargs getHardwareInfo() const override { return {{"serial", "SIM0001"}}; }
    size_t getNumChannels(int direction) const override {
        return direction == SOAPY_SDR_RX ? N_CHANNELS : 0;
    }

    // ── settings ────────────────────────────────────────────────────────────────────────────

    std::vector<std::string> listAntennas(int, size_t) const override { return {"RX", "LNAH"}; }
    void setAntenna(int, size_t channel, const std::string &name) override {
        record("antenna", channel, name);
        channels_.at(channel).antenna = name;
    }
    std::string getAntenna(int, size_t channel) const override { return channels_.at(channel).antenna; }

    std::vector<std::string> listGains(int, size_t) const override { return {"LNA", "VGA"}; }
    bool hasGainMode(int, size_t) const override { return true; }
    void setGainMode(int, size_t channel, bool automatic) override {
        record("agc", channel, automatic ? "true" : "false");
        channels_.at(channel).agc = automatic;
    }
    bool getGainMode(int, size_t channel) const override { return channels_.at(channel).agc; }
    SoapySDR::Range getGainRange(int, size_t, const std::string &name) const override {
        return {0, name == "LNA" ? 30.0 : 20.0};
    }
    void setGain(int, size_t channel, const std::string &name, double value) override {
        // Steps of 2 dB, as real amplifiers have steps.
        const double step = 2 * std::round(value / 2);
        record("gain " + name, channel, std::to_string(step));
        (name == "LNA" ? channels_.at(channel).lna_db : channels_.at(channel).vga_db) = step;
    }
    double getGain(int, size_t channel, const std::string &name) const override {
        return name == "LNA" ? channels_.at(channel).lna_db : channels_.at(channel).vga_db;
    }

    bool hasFrequencyCorrection(int, size_t) const override { return true; }
    void setFrequencyCorrection(int, size_t channel, double value) override {
        record("ppm", channel, std::to_string(value));
        channels_.at(channel).correction_ppm = value;
    }
    double getFrequencyCorrection(int, size_t channel) const override {
        return channels_.at(channel).correction_ppm;
    }
    std::vector<std::string> listFrequencies(int, size_t) const override { return {"RF"}; }
    SoapySDR::RangeList getFrequencyRange(int, size_t, const std::string &) const override {
        return {{1e6, 6e9}};
    }
    void setFrequency(int, size_t channel, const std::string &, double hz, const SoapySDR::Kwargs &) override {
        if (hz > tune_hangs_above_) hang();
        if (hz > tune_fails_above_) throw std::runtime_error("heimdallsim: no lock");
        std::lock_guard<std::mutex> guard(tuning_);
        record("frequency", channel, std::to_string(hz));
        channels_.at(channel).center_hz = hz;
    }
    double getFrequency(int, size_t channel, const std::string &) const override {
        return channels_.at(channel).center_hz;
    }

    SoapySDR::RangeList getSampleRateRange(int, size_t) const override {
        return {{250e3, 300e3}, {900e3, 10e6}};
    }
    void setSampleRate(int, size_t channel, double hz) override {
        record("rate", channel, std::to_string(hz));
        rate_hz_ = hz;
    }
    double getSampleRate(int, size_t) const override { return rate_hz_; }
    SoapySDR::RangeList getBandwidthRange(int, size_t) const override { return {{200e3, 8e6}}; }
    void setBandwidth(int, size_t channel, double hz) override {
        record("bandwidth", channel, std::to_string(hz));
        channels_.at(channel).bandwidth_hz = hz;
    }
    double getBandwidth(int, size_t channel) const override { return channels_.at(channel).bandwidth_hz; }

    SoapySDR::ArgInfoList getSettingInfo() const override { return {setting("biastee"), setting("dither")}; }
    void writeSetting(const std::string &key, const std::string &value) override {
        record("setting " + key, 0, value);
    }
    SoapySDR::ArgInfoList getSettingInfo(int, size_t) const override { return {setting("notch")}; }
    void writeSetting(int, size_t channel, const std::string &key, const std::string &value) override {
        record("channel setting " + key, channel, value);
    }

    bool hasHardwareTime(const std::string &) const override { return has_time_; }
    long long getHardwareTime(const std::string &) const override { return time_ns(sample_); }

    // ── samples ─────────────────────────────────────────────────────────────────────────────

    std::vector<std::string> getStreamFormats(int, size_t) const override {
        return {SOAPY_SDR_CU8, SOAPY_SDR_CS8, SOAPY_SDR_CS16, SOAPY_SDR_CF32};
    }
    std::string getNativeStreamFormat(int, size_t, double &full_scale) const override {
        full_scale = full_scale_;
        return native_;
    }
    SoapySDR::Stream *setupStream(int direction, const std::string &format,
                                  const std::vector<size_t> &channels, const SoapySDR::Kwargs &) override {
        const auto known = getStreamFormats(direction, 0);
        if (direction != SOAPY_SDR_RX) throw std::runtime_error("heimdallsim only receives");
        if (std::find(known.begin(), known.end(), format) == known.end())
            throw std::runtime_error("heimdallsim: no format " + format);
        format_ = format;
        stream_channels_ = channels.empty() ? std::vector<size_t>{0} : channels;
        return reinterpret_cast<SoapySDR::Stream *>(this);
    }
    void closeStream(SoapySDR::Stream *) override {}
    size_t getStreamMTU(SoapySDR::Stream *) const override { return MTU; }
    int activateStream(SoapySDR::Stream *, int, long long, size_t) override {
        began_ = Clock::now();
        sample_ = 0;
        active_ = true;
        return 0;
    }
    int deactivateStream(SoapySDR::Stream *, int, long long) override {
        active_ = false;
        return 0;
    }

    int readStream(SoapySDR::Stream *, void *const *buffers, const size_t wanted, int &flags,
                   long long &read_time_ns, const long timeout_us) override {
        flags = 0;
        if (!active_) return wait(timeout_us);  // SoapySDRServer reads before it activates
        obey();
        if (const int failure = planned_failure()) return failure;
        if (stalled_) return wait(timeout_us);
        const size_t n = std::min(wanted, MTU);
        const double early_s = double(sample_ + (long long)n) / rate_hz_ - elapsed_s();
        if (early_s < -BACKLOG_S) return overflow((long long)(-early_s * rate_hz_));
        if (early_s * 1e6 > double(timeout_us)) return wait(timeout_us);
        if (early_s > 0) std::this_thread::sleep_for(std::chrono::duration<double>(early_s));
        for (size_t i = 0; i < stream_channels_.size(); i++) fill(buffers[i], n, channels_.at(stream_channels_[i]));
        if (has_time_) {
            flags |= SOAPY_SDR_HAS_TIME;
            read_time_ns = time_ns(sample_);
        }
        sample_ += (long long)n;
        return int(n);
    }

  private:
    static double nominal(const std::string &format) {
        return format == SOAPY_SDR_CF32 ? 1.0 : format == SOAPY_SDR_CS8 ? 128.0 : 127.5;
    }

    static SoapySDR::ArgInfo setting(const std::string &key) {
        SoapySDR::ArgInfo info;
        info.key = key;
        info.type = SoapySDR::ArgInfo::STRING;
        return info;
    }

    double elapsed_s() const { return std::chrono::duration<double>(Clock::now() - began_).count(); }

    long long time_ns(long long sample) const {
        return jumped_ns_ + (long long)std::llround(double(sample) * 1e9 / rate_hz_);
    }

    static int wait(long timeout_us) {
        std::this_thread::sleep_for(std::chrono::microseconds(timeout_us));
        return SOAPY_SDR_TIMEOUT;
    }

    int overflow(long long lost) {
        sample_ += lost;
        return SOAPY_SDR_OVERFLOW;
    }

    // What the arguments say is due by now; 0: nothing.
    int planned_failure() {
        const auto due = [this](long long after) { return after != NEVER && sample_ >= after; };
        if (due(hang_after_)) hang();
        if (due(crash_after_)) crash();
        if (due(die_after_)) return SOAPY_SDR_STREAM_ERROR;
        if (overflow_every_ && sample_ >= next_overflow_) {
            next_overflow_ += overflow_every_;
            return overflow(overflow_samples_);
        }
        if (pending_status_) return std::exchange(pending_status_, 0);
        return 0;
    }

    // Take the orders that somebody left in the control file.
    void obey() {
        const std::string taken = control_ + ".taken";
        if (control_.empty() || std::rename(control_.c_str(), taken.c_str()) != 0) return;
        std::ifstream orders(taken);
        std::string order;
        while (orders >> order) {
            if (order == "hang") hang();
            if (order == "crash") crash();
            if (order == "die") die_after_ = 0;
            if (order == "stall") stalled_ = true;
            if (order == "corrupt") pending_status_ = SOAPY_SDR_CORRUPTION;
            long long amount = 0;
            if (order == "overflow" && orders >> amount) pending_status_ = overflow(amount);
            if (order == "lose" && orders >> amount) sample_ += amount;
            if (order == "jump" && orders >> amount) jumped_ns_ += amount;
        }
    }

    void fill(void *buffer, size_t n, const Channel &channel) {
        std::lock_guard<std::mutex> guard(tuning_);
        const double error = (crystal_ppm_ - channel.correction_ppm) * 1e-6;
        const double offset_hz = channel.tone_hz - channel.center_hz * (1 + error);
        const bool is_heard = std::abs(offset_hz) < rate_hz_ / 2;
        const double turns = std::fmod(offset_hz / rate_hz_ * double(sample_), 1.0);
        const auto step = std::polar(1.0, 2 * M_PI * offset_hz / rate_hz_);
        auto tone = std::polar(is_heard ? amplitude_ : 0.0, 2 * M_PI * turns);
        const Writer writer(format_, format_ == native_ ? full_scale_ : 32768);
        for (size_t i = 0; i < n; i++, tone *= step) {
            noise_state_ = noise_state_ * 1664525u + 1013904223u;  // Numerical Recipes' generator
            const auto at = noise_state_ >> 16;
            writer.put(buffer, i, tone + std::complex<double>(noise_table_[at], noise_table_[at ^ 0x5555]));
        }
    }

    void record(const std::string &what, size_t channel, const std::string &value) const {
        if (!record_.empty()) std::ofstream(record_, std::ios::app) << what << ' ' << channel << ' ' << value << '\n';
    }

    const std::string native_;
    const double full_scale_, amplitude_, noise_, crystal_ppm_;
    const bool has_time_;
    const long long overflow_every_, overflow_samples_;
    long long die_after_, hang_after_, crash_after_;
    const double tune_fails_above_, tune_hangs_above_;
    const std::string control_, record_;
    std::array<Channel, N_CHANNELS> channels_;
    std::array<double, 65536> noise_table_;
    std::mutex tuning_;
    std::string format_ = SOAPY_SDR_CS16;
    std::vector<size_t> stream_channels_ = {0};
    double rate_hz_ = 1e6;
    bool active_ = false, stalled_ = false;
    int pending_status_ = 0;
    long long sample_ = 0, next_overflow_ = 0, jumped_ns_ = 0;
    uint32_t noise_state_ = 1;
    Clock::time_point began_;
};

SoapySDR::KwargsList find(const SoapySDR::Kwargs &args) {
    if (text(args, "driver", "heimdallsim") != "heimdallsim") return {};
    SoapySDR::Kwargs found = args;
    found["label"] = "Heimdall simulator";
    found["serial"] = "SIM0001";
    return {found};
}

SoapySDR::Device *make(const SoapySDR::Kwargs &args) { return new HeimdallSim(args); }

SoapySDR::Registry registry("heimdallsim", &find, &make, SOAPY_SDR_ABI_VERSION);

}  // namespace
