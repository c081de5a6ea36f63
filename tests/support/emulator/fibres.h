// The threads of a launch as fibres: how they are scheduled, stopped and run, and what is said when one goes wrong.

#ifndef SWEEP_FIBRES_H
#define SWEEP_FIBRES_H

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <type_traits>
#include <utility>

namespace emulator {
namespace {  // every library that is loaded has a state of its own

struct Launch {  // as in __init__.py
    unsigned grid, block;
    size_t shared, page, stack;
    unsigned char *stacks;  // of `stack` bytes each; nobody may touch the lower end of one
    unsigned long long seed;
    const unsigned *order;  // of the blocks
    size_t count;           // of the arguments
    const void *const *arguments;
    const size_t *sizes;
    // What went wrong: a message, or the address of a fault, in which Python looks for an array.
    size_t address;
    char verb[16], message[4096];
};
enum Outcome { DONE, FAILED, FAULT };

struct Index {
    unsigned x, y, z;
};

constexpr unsigned LANES = 32, WARPS = 32, THREADS = WARPS * LANES;
constexpr size_t ALIGNMENT = 16;
// NaN as a float and as a double, and signalling, which no sum leaves as it is, as a double and as every other float.
constexpr unsigned char CANARY[8] = {0xad, 0xde, 0xa0, 0x7f, 0xad, 0xde, 0xf4, 0x7f};

struct Meeting {  // where a thread waits
    const char *name, *file;
    int line;
    unsigned mask;  // 0: the whole block
    int source;     // the lane whose value it wants, or -1

    bool same(const Meeting &other) const {
        return line == other.line && mask == other.mask && (name == other.name || !strcmp(name, other.name)) &&
               (file == other.file || !strcmp(file, other.file));
    }
};

struct Fibre {
    jmp_buf state;
    bool started;
    enum { READY, WAITING, ENDED } condition;
    Meeting meeting;
    unsigned long long given, got;
};

Launch *launch;
void (*call_kernel)();
Fibre fibres[THREADS];
unsigned self;  // the thread that runs, or ran last
bool running;
unsigned ready[WARPS], waiting[WARPS], ready_warps;  // bits: lanes that may run, lanes that wait for others; warps
unsigned at_barrier;
unsigned char *memory, *shared;  // memory: page nobody may touch, canary, shared memory, canary, such a page
size_t memory_size;
jmp_buf scheduler;
sigjmp_buf leave;
pthread_t launching;
struct sigaction old_segv, old_bus;
unsigned long long random_state;

}  // namespace
}  // namespace emulator

static emulator::Index threadIdx, blockIdx, blockDim, gridDim;
static constexpr int warpSize = emulator::LANES;

namespace emulator {
namespace {

// -------------------------------------------------------------------------------------------------------------- errors

__attribute__((format(printf, 1, 2))) void say(const char *format, ...) {
    const size_t used = strlen(launch->message);
    va_list values;
    va_start(values, format);
    vsnprintf(launch->message + used, sizeof launch->message - used, format, values);
    va_end(values);
}

[[noreturn]] void give_up(Outcome outcome = FAILED) {
    say("; block %u", blockIdx.x);
    if (running) say(", thread %u", self);
    siglongjmp(leave, outcome);
}

// Which of the threads wait where, and which have ended.
void say_waiting(unsigned first, unsigned stop) {
    bool told[THREADS] = {};
    for (unsigned i = first; i < stop; ++i) {
        const Fibre &one = fibres[i];
        if (told[i] || one.condition == Fibre::READY) continue;
        const auto alike = [&](unsigned j) {
            const Fibre &other = fibres[j];
            return one.condition == other.condition &&
                   (one.condition == Fibre::ENDED || one.meeting.same(other.meeting));
        };
        const char *between = "; threads ";
        for (unsigned j = i; j < stop; ++j) {
            if (!alike(j)) continue;
            const unsigned from = j;
            for (told[j] = true; j + 1 < stop && alike(j + 1); told[j] = true) ++j;
            say(from == j ? "%s%u" : "%s%u-%u", between, from, j);
            between = ", ";
        }
        say(one.condition == Fibre::ENDED ? " have ended" : " wait at %s (%s:%d)", one.meeting.name, one.meeting.file,
            one.meeting.line);
        if (one.condition == Fibre::WAITING && one.meeting.mask) say(" for the lanes of 0x%08x", one.meeting.mask);
    }
}

void on_fault(int signal, siginfo_t *info, void *context) {
    if (!pthread_equal(pthread_self(), launching)) {  // not ours: it happens again, under the handlers of before
        sigaction(SIGSEGV, &old_segv, nullptr);
        sigaction(SIGBUS, &old_bus, nullptr);
        return;
    }
    const char *verb = "accessed";
#ifdef __x86_64__
    verb = static_cast<ucontext_t *>(context)->uc_mcontext.gregs[REG_ERR] & 2 ? "written" : "read";
#endif
    const auto place = [](const void *pointer) { return reinterpret_cast<size_t>(pointer); };
    const size_t address = launch->address = place(info->si_addr);
    strcpy(launch->verb, verb);
    if (info->si_code == SI_KERNEL || (signal == SIGBUS && info->si_code == BUS_ADRALN))
        say("an access is misaligned, or to an address that cannot be");
    else if (address - place(launch->stacks) < launch->block * launch->stack)
        say("the stack of a thread overflows");
    else if (address - place(memory) < memory_size)
        say("byte %td of shared memory is %s, which has %zu bytes", ptrdiff_t(address - place(shared)), verb,
            launch->shared);
    else
        give_up(FAULT);
    give_up();
}

// ---------------------------------------------------------------------------------------------------------- scheduling

unsigned draw() {  // xorshift64*, the upper half
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545f4914f6cdd1dull >> 32;
}

unsigned pick(unsigned bits) {  // one of the bits that are set
    unsigned rank = draw() * 1ull * __builtin_popcount(bits) >> 32, at = 0;
    for (unsigned half = 16; half; half /= 2) {  // without a branch, which would be guessed wrong
        const unsigned below = __builtin_popcount(bits >> at & ((1u << half) - 1)), above = -(rank >= below);
        rank -= below & above;
        at += half & above;
    }
    return at;
}

void wake(unsigned i) {
    fibres[i].condition = Fibre::READY;
    ready[i / LANES] |= 1u << i % LANES;
    ready_warps |= 1u << i / LANES;
}

void stop(decltype(Fibre::condition) condition) {
    fibres[self].condition = condition;
    ready[self / LANES] &= ~(1u << self % LANES);
    if (!ready[self / LANES]) ready_warps &= ~(1u << self / LANES);
}

__attribute__((noinline)) void pause() {
    if (!_setjmp(fibres[self].state)) _longjmp(scheduler, 1);
}

void thread() {
    call_kernel();
    stop(Fibre::ENDED);
    _longjmp(scheduler, 1);
}

__attribute__((noinline)) void resume(unsigned i) {
    running = true;
    if (_setjmp(scheduler)) {
        running = false;
        return;
    }
    self = threadIdx.x = i;
    if (fibres[i].started) _longjmp(fibres[i].state, 1);
    fibres[i].started = true;
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = launch->stacks + i * launch->stack;
    context.uc_stack.ss_size = launch->stack;
    context.uc_link = nullptr;
    makecontext(&context, thread, 0);
    setcontext(&context);
}

void run_block() {
    memset(shared, 0xff, launch->shared);
    for (unsigned i = 0; i < blockDim.x; ++i) {
        fibres[i].started = false;
        wake(i);
    }
    // How readily a warp runs ahead of the others: from 0, they take turns, to 4, it goes on until it must wait.
    const unsigned haste = draw() % 5;
    for (unsigned warp = 0; ready_warps;) {
        if (!ready[warp] || draw() % 4 >= haste) warp = pick(ready_warps);
        resume(warp * LANES + pick(ready[warp]));
    }
    for (unsigned i = 0; i < blockDim.x; ++i) {
        if (fibres[i].condition != Fibre::WAITING) continue;
        say("threads wait for ever");
        say_waiting(0, blockDim.x);
        give_up();
    }
    const ptrdiff_t first = memory + launch->page - shared, stop = memory + memory_size - launch->page - shared;
    for (ptrdiff_t i = first; i < stop; ++i) {
        const bool inside = i >= 0 && i < ptrdiff_t(launch->shared);
        if (inside || shared[i] == CANARY[(shared + i - memory) % 8]) continue;
        say("byte %td of shared memory has been written, which has %zu bytes", i, launch->shared);
        give_up();
    }
}

// -------------------------------------------------------------------------------------------------------------- launch

Outcome run_blocks() {
    const size_t page = launch->page, size = (launch->shared + page - 1) / page * page + 2 * page;
    void *const got = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (got == MAP_FAILED) {
        say("no memory");
        return FAILED;
    }
    memory = static_cast<unsigned char *>(got);
    memory_size = size;
    for (size_t i = 0; i < memory_size; ++i) memory[i] = CANARY[i % 8];
    shared = memory + (memory_size - page - launch->shared) / ALIGNMENT * ALIGNMENT;
    mprotect(memory, page, PROT_NONE);
    mprotect(memory + memory_size - page, page, PROT_NONE);

    memset(ready, 0, sizeof ready);
    memset(waiting, 0, sizeof waiting);
    ready_warps = at_barrier = 0;
    random_state = launch->seed;
    gridDim = {launch->grid, 1, 1};
    blockDim = {launch->block, 1, 1};
    threadIdx = {0, 0, 0};
    for (unsigned i = 0; i < launch->grid; ++i) {
        blockIdx = {launch->order[i], 0, 0};
        run_block();
    }
    return DONE;
}

int guarded_run() {
    static char own_stack[1 << 16];
    stack_t mine = {}, old = {};
    mine.ss_sp = own_stack;
    mine.ss_size = sizeof own_stack;
    sigaltstack(&mine, &old);
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    launching = pthread_self();
    sigaction(SIGSEGV, &action, &old_segv);
    sigaction(SIGBUS, &action, &old_bus);

    int outcome = sigsetjmp(leave, 1);
    if (!outcome) outcome = run_blocks();

    sigaction(SIGSEGV, &old_segv, nullptr);
    sigaction(SIGBUS, &old_bus, nullptr);
    sigaltstack(&old, nullptr);
    if (memory_size) munmap(memory, memory_size);
    memory_size = 0;
    return outcome;
}

template <auto kernel, typename... A, size_t... I> void call_with(void (*)(A...), std::index_sequence<I...>) {
    kernel(*static_cast<const std::decay_t<A> *>(launch->arguments[I])...);
}

// What the wrapper that Python writes for each kernel calls.
template <auto kernel, typename... A> int run(void (*)(A...), Launch *given) {
    launch = given;
    const size_t sizes[] = {sizeof(std::decay_t<A>)..., 0};
    if (given->count != sizeof...(A)) {
        say("%zu arguments for a kernel that takes %zu", given->count, sizeof...(A));
        return FAILED;
    }
    for (size_t i = 0; i < given->count; ++i) {
        if (given->sizes[i] == sizes[i]) continue;
        say("argument %zu has %zu bytes, where the kernel takes %zu", i, given->sizes[i], sizes[i]);
        return FAILED;
    }
    call_kernel = [] { call_with<kernel>(kernel, std::index_sequence_for<A...>{}); };
    return guarded_run();
}

}  // namespace
}  // namespace emulator

#endif
