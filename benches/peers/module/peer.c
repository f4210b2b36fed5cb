// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The metrics of `bench`, measured for a Linux kernel. They are measured when the module is
 * loaded, printed to the kernel log; the module does not stay loaded (its init fails on purpose).
 *
 * A line is: test, samples, then min, median, p90, p99, p99.9 and max in TSC ticks.
 * The caller runs on one CPU; threads of it spin in user mode on all others.
 */
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/irq_work.h>
#include <linux/module.h>
#include <linux/smp.h>
#include <linux/sort.h>
#include <linux/vmalloc.h>
#include <asm/msr.h>

#define SAMPLES 10000
#define TIMERS 200
#define WARM_UP 500

/* Where CPUs wait for a host's core, a series would take minutes. */
#define ENOUGH (3 * HZ)
#define FEWEST 50

static int stage = 1;
module_param(stage, int, 0);
MODULE_PARM_DESC(stage, "1: this CPU, 2: one other, 3: all others");

static u64 *samples;
static u64 overhead;
static u64 began;

static int compare(const void *left, const void *right)
{
	u64 a = *(const u64 *)left, b = *(const u64 *)right;

	return a < b ? -1 : a > b;
}

static u64 at(size_t count, u64 thousandths)
{
	u64 value = samples[min_t(u64, count - 1, count * thousandths / 1000)];

	return value > overhead ? value - overhead : 0;
}

/* Whether a series continues after this many samples. */
static bool more(int count, unsigned long began_at)
{
	if (count < FEWEST)
		return true;
	return count < SAMPLES && time_before(jiffies, began_at + ENOUGH);
}

static void report(const char *test, size_t count)
{
	sort(samples, count, sizeof(*samples), compare, NULL);
	pr_info("tocsin-peer: %s %zu %llu %llu %llu %llu %llu %llu\n", test, count,
		 at(count, 0), at(count, 500), at(count, 900), at(count, 990),
		 at(count, 999), at(count, 1000));
}

static void work(struct irq_work *work)
{
	WRITE_ONCE(began, rdtsc_ordered());
}

static void call(void *unused)
{
	WRITE_ONCE(began, rdtsc_ordered());
}

static void nothing(void *unused)
{
}

static enum hrtimer_restart fired(struct hrtimer *timer)
{
	WRITE_ONCE(began, rdtsc_ordered());
	return HRTIMER_NORESTART;
}

static void measure_overhead(void)
{
	int i;

	overhead = 0;
	for (i = 0; i < SAMPLES; i++) {
		u64 start = rdtsc_ordered();

		samples[i] = rdtsc_ordered() - start;
	}
	sort(samples, SAMPLES, sizeof(*samples), compare, NULL);
	overhead = samples[SAMPLES / 2];
}

static void measure_irq_work(bool whole)
{
	static struct irq_work own;
	unsigned long from = jiffies;
	int i;

	/* On PREEMPT_RT another kind runs in a thread, which cannot run while this spins. */
	own = IRQ_WORK_INIT_HARD(work);
	for (i = -WARM_UP; more(i, from); i++) {
		u64 start, end;

		WRITE_ONCE(began, 0);
		start = rdtsc_ordered();
		irq_work_queue(&own);
		while (!READ_ONCE(began))
			cpu_relax();
		end = rdtsc_ordered();
		if (i >= 0)
			samples[i] = (whole ? end : READ_ONCE(began)) - start;
		irq_work_sync(&own);
	}
	report(whole ? "irq_work" : "irq_work_entry", i);
}

static void measure_calls(int target)
{
	static call_single_data_t data;
	unsigned long from = jiffies;
	int i;

	INIT_CSD(&data, call, NULL);
	for (i = -WARM_UP; more(i, from); i++) {
		u64 start;

		WRITE_ONCE(began, 0);
		start = rdtsc_ordered();
		smp_call_function_single_async(target, &data);
		while (!READ_ONCE(began))
			cpu_relax();
		if (i >= 0)
			samples[i] = READ_ONCE(began) - start;
	}
	report("smp_call_function_single_async", i);
	from = jiffies;
	for (i = -WARM_UP; more(i, from); i++) {
		u64 start = rdtsc_ordered(), end;

		smp_call_function_single(target, nothing, NULL, 1);
		end = rdtsc_ordered();
		if (i >= 0)
			samples[i] = end - start;
	}
	report("smp_call_function_single", i);
}

static void measure_broadcast(void)
{
	unsigned long from = jiffies;
	int i;

	for (i = -WARM_UP; more(i, from); i++) {
		u64 start = rdtsc_ordered(), end;

		smp_call_function_many(cpu_online_mask, nothing, NULL, 1);
		end = rdtsc_ordered();
		if (i >= 0)
			samples[i] = end - start;
	}
	report("smp_call_function_many", i);
}

static void measure_timer(void)
{
	static struct hrtimer timer;
	u64 khz = tsc_khz;
	int i;

	hrtimer_init(&timer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD);
	timer.function = fired;
	for (i = -10; i < TIMERS; i++) {
		u64 tsc, ns, due;

		WRITE_ONCE(began, 0);
		ns = ktime_get_ns();
		tsc = rdtsc_ordered();
		due = tsc + 200 * khz / 1000;
		hrtimer_start(&timer, ns_to_ktime(ns + 200000), HRTIMER_MODE_ABS_HARD);
		while (!READ_ONCE(began))
			cpu_relax();
		if (i >= 0)
			samples[i] = READ_ONCE(began) > due ? READ_ONCE(began) - due + overhead : 0;
	}
	report("hrtimer", TIMERS);
}

static int __init measure(void)
{
	int here, target;

	samples = vmalloc_array(SAMPLES, sizeof(*samples));
	if (!samples)
		return -ENOMEM;
	measure_overhead();
	here = get_cpu();
	/* The lowest other one: the first on which a thread spins. */
	target = cpumask_any_but(cpu_online_mask, here);
	if (stage == 1) {
		measure_irq_work(false);
		measure_irq_work(true);
		measure_timer();
	} else if (target >= nr_cpu_ids) {
		pr_info("tocsin-peer: trouble no other CPU\n");
	} else if (stage == 2) {
		measure_calls(target);
	} else {
		measure_broadcast();
	}
	put_cpu();
	vfree(samples);
	return -ECANCELED;
}

module_init(measure);
MODULE_DESCRIPTION("Measures what interrupts cost");
MODULE_LICENSE("Dual MIT/GPL");
