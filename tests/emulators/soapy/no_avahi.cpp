// Lets Debian's SoapySDRServer run on a machine without avahi: LD_PRELOAD this instead.
//
//   g++ -O2 -shared -fPIC no_avahi.cpp -o libnoavahi.so
//
// The server announces itself by mDNS and ends where it cannot. Here every announcement succeeds,
// and nobody hears of it. Each function does what its caller looks at, and no more; the arguments
// are avahi's own, but for those that nobody needs.
#include <atomic>
#include <chrono>
#include <thread>

namespace {

std::atomic<bool> has_quit{false};
constexpr int RUNNING = 2;  // AVAHI_CLIENT_S_RUNNING
int something;              // what handles point to

void a_while() { std::this_thread::sleep_for(std::chrono::milliseconds(100)); }

}  // namespace

extern "C" {

// The event loop: it turns until somebody ends it.
void *avahi_simple_poll_new() { return &something; }
void *avahi_simple_poll_get(void *) { return &something; }
void avahi_simple_poll_free(void *) {}
void avahi_simple_poll_quit(void *) { has_quit = true; }
int avahi_simple_poll_loop(void *) {
    while (!has_quit) a_while();
    return 0;
}
int avahi_simple_poll_iterate(void *, int) {
    a_while();
    return has_quit;
}

// The connection to the daemon: it stands.
void *avahi_client_new(void *, int, void *, void *, int *) { return &something; }
void avahi_client_free(void *) {}
int avahi_client_errno(void *) { return 0; }
int avahi_client_get_state(void *) { return RUNNING; }
const char *avahi_client_get_domain_name(void *) { return "local"; }
const char *avahi_client_get_host_name(void *) { return "localhost"; }
const char *avahi_client_get_host_name_fqdn(void *) { return "localhost.local"; }
const char *avahi_client_get_version_string(void *) { return "none"; }

// Announcements: each succeeds.
void *avahi_entry_group_new(void *, void *, void *) { return &something; }
int avahi_entry_group_add_service_strlst() { return 0; }
int avahi_entry_group_commit(void *) { return 0; }
void avahi_entry_group_free(void *) {}
void *avahi_entry_group_get_client(void *) { return &something; }

// Looking for others: there are none.
void *avahi_service_browser_new() { return &something; }
void avahi_service_browser_free(void *) {}

const char *avahi_strerror(int) { return "no avahi here"; }
}
