// SPDX-License-Identifier: GPL-2.0-only
/*
 * The in-guest oracle of patchbed, and a holder of pages.
 *
 * Files in debugfs, folder patchbed/:
 *   control   write one command:
 *               hold COUNT ORDER [WORD ...]          allocate and keep, see words[] below
 *               fill WORD                            write a 64-bit word all over what is held
 *               release                              free all that is held
 *               drop FIRST COUNT                     free some of it, by number from 0 on
 *               squeeze COUNT ORDER                  see squeeze() below
 *               scatter COUNT                        see scatter() below
 *               fragment COUNT ORDER                 see fragment() below
 *               whole COUNT ORDER                    see whole_first() below
 *               gather                               free what these three keep
 *               settle                               see settle() below
 *   held      read: the held pages as the oracles see them
 *   contents  read: what each held chunk contains
 *   faults    read: how many allocations of the last hold had a fault injected into them
 *   query     write: lines "frame PFN COUNT" or "address VIRTUAL COUNT", the first
 *             number in hexadecimal; > begins anew, >> adds. Read: those pages as the
 *             oracles see them
 *
 * held and query answer with one line for each run of neighbours that are alike:
 *   VIRTUAL PFN COUNT LEVEL present|absent readable|faults rw|ro x|nx
 */
#include <linux/debugfs.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/nodemask.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

#include "patchbed_direct_map.h"

#define MOST_QUERIES 4096
#define LONGEST_COMMAND 4096

struct chunk {
	struct list_head list;
	struct page *page;
	unsigned int order;
};

/* What a hold asks for; see words[]. */
struct request {
	gfp_t gfp;
	int node;
	unsigned int nth;
	bool atomic;
};

struct query {
	unsigned long start;
	unsigned long count;
	bool frame;
};

static DEFINE_MUTEX(lock);
static LIST_HEAD(held);
static LIST_HEAD(keepers);
static struct query *queries;
static unsigned int nr_queries;
static unsigned int nr_faults;
static struct dentry *folder;

/* Answers */

struct run {
	struct patchbed_view view;
	unsigned long address;
	unsigned long pfn;
	unsigned long count;
};

static void show_run(struct seq_file *file, const struct run *run)
{
	if (!run->count)
		return;
	seq_printf(file, "0x%lx 0x%lx %lu %u %s %s %s %s\n", run->address, run->pfn, run->count,
		   run->view.level, run->view.present ? "present" : "absent",
		   run->view.readable ? "readable" : "faults", run->view.write ? "rw" : "ro",
		   run->view.execute ? "x" : "nx");
}

static bool alike(const struct patchbed_view *a, const struct patchbed_view *b)
{
	return a->present == b->present && a->readable == b->readable && a->write == b->write &&
	       a->execute == b->execute && a->level == b->level;
}

static void add_to_run(struct seq_file *file, struct run *run, unsigned long address,
		       unsigned long pfn)
{
	struct patchbed_view view = patchbed_look_at(address);

	if (run->count && alike(&view, &run->view) && pfn == run->pfn + run->count &&
	    address == run->address + run->count * PAGE_SIZE) {
		run->count++;
		return;
	}
	show_run(file, run);
	*run = (struct run){ .view = view, .address = address, .pfn = pfn, .count = 1 };
}

static void add_frame(struct seq_file *file, struct run *run, unsigned long pfn)
{
	add_to_run(file, run, (unsigned long)__va(PFN_PHYS(pfn)), pfn);
}

static void add_address(struct seq_file *file, struct run *run, unsigned long address)
{
	bool module = address >= MODULES_VADDR && address < MODULES_END;
	void *pointer = (void *)address;
	unsigned long pfn = 0;

	if (module || is_vmalloc_addr(pointer))
		pfn = vmalloc_to_pfn(pointer);
	else if (virt_addr_valid(pointer))
		pfn = PHYS_PFN(__pa(address));
	add_to_run(file, run, address, pfn);
}

static int held_show(struct seq_file *file, void *unused)
{
	struct run run = { };
	struct chunk *chunk;
	unsigned long i;

	mutex_lock(&lock);
	list_for_each_entry(chunk, &held, list)
		for (i = 0; i < 1UL << chunk->order; i++)
			add_frame(file, &run, page_to_pfn(chunk->page) + i);
	mutex_unlock(&lock);
	show_run(file, &run);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(held);

static void show_contents(struct seq_file *file, struct chunk *chunk)
{
	size_t i, words = (PAGE_SIZE << chunk->order) / sizeof(u64);
	u64 *word = patchbed_map(chunk->page, chunk->order);

	seq_printf(file, "0x%lx %u ", page_to_pfn(chunk->page), chunk->order);
	if (!word) {
		seq_puts(file, "unknown\n");
		return;
	}
	for (i = 1; i < words && word[i] == word[0]; i++)
		;
	if (i < words)
		seq_puts(file, "mixed\n");
	else
		seq_printf(file, "0x%llx\n", word[0]);
	vunmap(word);
}

static int contents_show(struct seq_file *file, void *unused)
{
	struct chunk *chunk;

	mutex_lock(&lock);
	list_for_each_entry(chunk, &held, list)
		show_contents(file, chunk);
	mutex_unlock(&lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(contents);

static int query_show(struct seq_file *file, void *unused)
{
	struct run run = { };
	unsigned long i, j;

	mutex_lock(&lock);
	for (i = 0; i < nr_queries; i++) {
		for (j = 0; j < queries[i].count; j++) {
			if (queries[i].frame)
				add_frame(file, &run, queries[i].start + j);
			else
				add_address(file, &run, queries[i].start + j * PAGE_SIZE);
		}
	}
	mutex_unlock(&lock);
	show_run(file, &run);
	return 0;
}

/* Commands */

static int keep(struct list_head *list, struct page *page, unsigned int order)
{
	/* Nobody is killed for it. */
	struct chunk *chunk = kmalloc(sizeof(*chunk), GFP_KERNEL | __GFP_NOWARN | __GFP_NORETRY);

	if (!chunk)
		return -ENOMEM;
	chunk->page = page;
	chunk->order = order;
	list_add_tail(&chunk->list, list);
	return 0;
}

static void let_go(struct list_head *list)
{
	struct chunk *chunk, *next;

	list_for_each_entry_safe(chunk, next, list, list) {
		__free_pages(chunk->page, chunk->order);
		list_del(&chunk->list);
		kfree(chunk);
		cond_resched();
	}
}

/* Free count of the held chunks, from number first on in the order of their allocation. */
static void drop(unsigned int first, unsigned int count)
{
	struct chunk *chunk, *next;
	unsigned int number = 0;
	LIST_HEAD(dropped);

	list_for_each_entry_safe(chunk, next, &held, list) {
		if (number >= first && number - first < count)
			list_move_tail(&chunk->list, &dropped);
		number++;
	}
	let_go(&dropped);
}

static struct page *alloc_as_asked(const struct request *request, unsigned int order)
{
	static DEFINE_SPINLOCK(held_meanwhile);
	gfp_t gfp = request->gfp | __GFP_NOWARN;
	struct page *page;

	if (request->atomic)
		spin_lock(&held_meanwhile);
	if (request->node == NUMA_NO_NODE)
		page = alloc_pages(gfp, order);
	else
		page = alloc_pages_node(request->node, gfp | __GFP_THISNODE, order);
	if (request->atomic)
		spin_unlock(&held_meanwhile);
	return page;
}

/* The same as /proc/self/fail-nth, but for this one allocation and nothing before it. */
static struct page *alloc_with_fault(const struct request *request, unsigned int order)
{
	struct page *page;

#ifdef CONFIG_FAULT_INJECTION
	current->fail_nth = request->nth;
	page = alloc_as_asked(request, order);
	nr_faults += request->nth && !current->fail_nth;
	current->fail_nth = 0;
#else
	page = alloc_as_asked(request, order);
#endif
	return page;
}

static int hold(unsigned long count, unsigned int order, const struct request *request)
{
	struct page *page;

	nr_faults = 0;
	if (order > PATCHBED_LAST_ORDER)
		return -EINVAL;
	while (count--) {
		page = alloc_with_fault(request, order);
		if (!page)
			return -ENOMEM;
		if (keep(&held, page, order)) {
			__free_pages(page, order);
			return -ENOMEM;
		}
		cond_resched();
	}
	return 0;
}

/*
 * Hold every piece of 2^order pages that the kernel can be made to give, and then free the first
 * count of them, for what runs in the guest: between two commands it would be killed for memory.
 */
static int squeeze(unsigned int count, unsigned int order)
{
	const struct request request = { .gfp = GFP_KERNEL | __GFP_NOWARN, .node = NUMA_NO_NODE };
	int error = hold(ULONG_MAX, order, &request);

	drop(0, count);
	return error == -ENOMEM ? 0 : error;
}

/*
 * What may follow "hold COUNT ORDER". Besides these: node=N for pages of that node alone, atomic
 * for GFP_ATOMIC with a spinlock held, and nth=N, which makes the Nth allocation that each of the
 * COUNT leads to fail, counted from 1 (CONFIG_FAULT_INJECTION; what counts is set in
 * fail_page_alloc/ and failslab/ in debugfs).
 */
static const struct {
	const char *name;
	gfp_t gfp;
} words[] = {
	{ "unmapped", PATCHBED_UNMAPPED },
	{ "zero", __GFP_ZERO },
	{ "comp", __GFP_COMP },
	{ "account", __GFP_ACCOUNT },
	{ "dma32", __GFP_DMA32 },
	{ "noretry", __GFP_NORETRY },
};

static int add_word(struct request *request, const char *word)
{
	unsigned int i;

	/* Anything else would hand out ordinary pages under a false name. */
	if (!strcmp(word, "unmapped") && !PATCHBED_UNMAPPED)
		return -EOPNOTSUPP;
	for (i = 0; i < ARRAY_SIZE(words); i++) {
		if (!strcmp(word, words[i].name)) {
			request->gfp |= words[i].gfp;
			return 0;
		}
	}
	if (sscanf(word, "node=%d", &request->node) == 1)
		return request->node >= 0 && request->node < MAX_NUMNODES &&
		       node_online(request->node) ? 0 : -EINVAL;
	if (sscanf(word, "nth=%u", &request->nth) == 1)
		return IS_ENABLED(CONFIG_FAULT_INJECTION) ? 0 : -EOPNOTSUPP;
	if (strcmp(word, "atomic"))
		return -EINVAL;
	request->gfp = (request->gfp & ~GFP_KERNEL) | GFP_ATOMIC;
	request->atomic = true;
	return 0;
}

static int hold_command(char *arguments)
{
	struct request request = { .gfp = GFP_KERNEL, .node = NUMA_NO_NODE };
	unsigned long count;
	unsigned int order;
	int error, length;
	char *word;

	if (sscanf(arguments, "%lu %u%n", &count, &order, &length) < 2)
		return -EINVAL;
	arguments += length;
	while ((word = strsep(&arguments, " "))) {
		error = *word ? add_word(&request, word) : 0;
		if (error)
			return error;
	}
	return hold(count, order, &request);
}

static int fill(u64 value)
{
	struct chunk *chunk;

	list_for_each_entry(chunk, &held, list) {
		u64 *word = patchbed_map(chunk->page, chunk->order);

		if (!word)
			return -ENOMEM;
		memset64(word, value, (PAGE_SIZE << chunk->order) / sizeof(u64));
		vunmap(word);
		cond_resched();
	}
	return 0;
}

static bool whole(struct page *page)
{
	unsigned int level = 0;
	pte_t *entry = lookup_address((unsigned long)page_address(page), &level);

	return entry && level >= PG_LEVEL_2M && (pte_flags(*entry) & _PAGE_PRESENT);
}

/*
 * Keep all pages of a block of 2M but one in each of its parts, which are stride pages long: these
 * are free from now on, with no free neighbour.
 */
static int keep_all_but_holes(struct page *block, unsigned int hole, unsigned int stride)
{
	unsigned int i;
	int error = 0;

	split_page(block, PMD_SHIFT - PAGE_SHIFT);
	for (i = 0; i < PTRS_PER_PMD; i++) {
		if (i % stride == hole)
			continue;
		if (!error)
			error = keep(&keepers, block + i, 0);
		if (error)
			__free_pages(block + i, 0);
	}
	return error;
}

/* Blocks of 2M that give single pages: the one at hand, and how many of its pages are left. */
struct donor {
	struct page *block;
	unsigned int left;
};

static int keep_rest(struct donor *donor)
{
	int error = 0;

	for (; donor->left; donor->left--) {
		struct page *page = donor->block + donor->left - 1;

		if (!error)
			error = keep(&keepers, page, 0);
		if (error)
			__free_pages(page, 0);
	}
	return error;
}

/* Return a page of the zone that neighbour is of, from a block that nothing else comes from. */
static struct page *donate(struct donor *donor, struct page *neighbour)
{
	unsigned int order = PMD_SHIFT - PAGE_SHIFT;

	if (donor->left && page_zone(donor->block) != page_zone(neighbour) && keep_rest(donor))
		return NULL;
	if (!donor->left) {
		donor->block = alloc_pages(GFP_KERNEL | __GFP_NOWARN | __GFP_NORETRY, order);
		if (!donor->block)
			return NULL;
		split_page(donor->block, order);
		donor->left = PTRS_PER_PMD;
	}
	return donor->block + --donor->left;
}

/* As many blocks of each zone as lift() may need. */
#define SPARE_BLOCKS 2

/* Give zones that lack it some memory beyond their low watermark, below which none is taken. */
static void lift(struct list_head *blocks)
{
	struct chunk *block;

	list_for_each_entry(block, blocks, list) {
		struct zone *zone = page_zone(block->page);
		struct page *half = block->page + (1UL << (block->order - 1));

		if (zone_page_state(zone, NR_FREE_PAGES) > low_wmark_pages(zone) + PTRS_PER_PMD)
			continue;
		/* In one piece it would stay with the CPU, where it does not count. */
		block->order--;
		/* Only the first page of a block that is not compound has a count. */
		init_page_count(half);
		__free_pages(half, block->order);
	}
}

/* How many holes there are in each block: one, as long as four fifths of all blocks suffice. */
static unsigned int holes_each(unsigned int count)
{
	unsigned long blocks = totalram_pages() / PTRS_PER_PMD * 13 / 16;

	return roundup_pow_of_two(DIV_ROUND_UP(count, max(blocks, 1UL)));
}

/*
 * Make memory look as it does after long use, as far as the direct map is concerned: the next
 * single pages that the kernel takes for itself come from count different blocks of 2M, each
 * still mapped whole; where there are not so many, from every block two or more. Without it they
 * come from blocks that boot has split, and changing their mapping costs nothing. Between two of
 * these holes lies a page of another block, for the table that a split takes. They are freed at the
 * end and on one CPU, so that they are the first to be handed out there: call it and what follows
 * under taskset.
 */
static int scatter(unsigned int count)
{
	unsigned int order = PMD_SHIFT - PAGE_SHIFT, found = 0, i;
	unsigned int stride = PTRS_PER_PMD / min_t(unsigned int, holes_each(count), 64);
	unsigned int spared[MAX_NR_ZONES] = { };
	struct page **pages, *block;
	LIST_HEAD(split_already);
	struct donor donor = { };
	LIST_HEAD(spare);
	int error = 0;

	/* The last block's may be more than are asked for. */
	pages = kvmalloc_array(count + PTRS_PER_PMD / stride, 2 * sizeof(*pages), GFP_KERNEL);
	if (!pages)
		return -ENOMEM;
	while (found < 2 * count && !error) {
		block = alloc_pages(GFP_KERNEL | __GFP_NOWARN | __GFP_NORETRY, order);
		if (!block) {
			error = -ENOMEM;
		} else if (!whole(block) || spared[page_zonenum(block)] < SPARE_BLOCKS) {
			bool is_spare = whole(block);

			spared[page_zonenum(block)] += is_spare;
			error = keep(is_spare ? &spare : &split_already, block, order);
			if (error)
				__free_pages(block, order);
		} else {
			/* Not always the same one, or they would share a cache set. */
			unsigned int hole = 1 + found / 2 * 37 % (PTRS_PER_PMD - 1);

			error = keep_all_but_holes(block, hole % stride, stride);
			for (hole %= stride; hole < PTRS_PER_PMD; hole += stride) {
				pages[found] = donate(&donor, block);
				if (pages[found])
					found++;
				else
					error = -ENOMEM;
				pages[found++] = block + hole;
			}
		}
		cond_resched();
	}
	error = keep_rest(&donor) ?: error;
	let_go(&split_already);
	lift(&spare);
	list_splice(&spare, &keepers);
	for (i = 0; i < found; i++)
		__free_pages(pages[i], 0);
	kvfree(pages);
	return error;
}

/* Without reclaim, which would have the very cache that is to be tested give back what it has. */
#define NO_PRESSURE ((GFP_KERNEL & ~__GFP_RECLAIM) | __GFP_NOWARN)

static int take_all_blocks(struct list_head *blocks)
{
	unsigned int order = PMD_SHIFT - PAGE_SHIFT;
	struct page *block;

	while ((block = alloc_pages(NO_PRESSURE, order))) {
		int error = keep(blocks, block, order);

		if (error) {
			__free_pages(block, order);
			return error;
		}
		cond_resched();
	}
	return 0;
}

/* Make a block pieces of 2^order pages, each allocated on its own, and free every second one. */
static int free_every_second(struct chunk *block, unsigned int order)
{
	unsigned long pages = 1UL << block->order, step = 1UL << order, i;
	int error;

	block->order = order;
	for (i = step; i < pages; i += step) {
		struct page *piece = block->page + i;

		/* Only the first page of a block that is not compound has a count. */
		init_page_count(piece);
		if (i & step) {
			__free_pages(piece, order);
			continue;
		}
		error = keep(&keepers, piece, order);
		if (error) {
			__free_pages(piece, order);
			return error;
		}
	}
	return 0;
}

/*
 * Leave nobody a block of 2M in one piece: take all that there are and free every second piece of
 * 2^order pages of count of them. Those pieces are about all the memory that is free then. Small
 * ones are first in line on one CPU: call it and what follows under taskset.
 */
static int fragment(unsigned int count, unsigned int order)
{
	LIST_HEAD(blocks);
	int error;

	if (order >= PMD_SHIFT - PAGE_SHIFT)
		return -EINVAL;
	error = take_all_blocks(&blocks);
	while (!error && count-- && !list_empty(&blocks)) {
		/* From both ends: blocks of one zone came first, those of another last. */
		struct list_head *next = count & 1 ? blocks.next : blocks.prev;
		struct chunk *block = list_entry(next, struct chunk, list);

		list_move_tail(&block->list, &keepers);
		error = free_every_second(block, order);
	}
	/* What a zone had to keep back before it can part with now. */
	if (!error)
		error = take_all_blocks(&blocks);
	list_splice_tail(&blocks, &keepers);
	return error;
}

static bool all_whole(struct page *block, unsigned int order)
{
	unsigned long i;

	for (i = 0; i < 1UL << order; i += PTRS_PER_PMD)
		if (!whole(block + i))
			return false;
	return true;
}

/*
 * See to it that the next count blocks of 2^order pages (a multiple of 2M) that the kernel takes
 * on this CPU are still mapped whole, so that taking them out of the direct map splits it. What is
 * split already is kept.
 */
static int whole_first(unsigned int count, unsigned int order)
{
	unsigned int found = 0;
	LIST_HEAD(candidates);
	struct page *block;
	int error = 0;

	if (order < PMD_SHIFT - PAGE_SHIFT || order > PATCHBED_LAST_ORDER)
		return -EINVAL;
	while (found < count && !error) {
		bool good;

		block = alloc_pages(GFP_KERNEL | __GFP_NOWARN | __GFP_NORETRY, order);
		if (!block) {
			error = -ENOMEM;
			break;
		}
		good = all_whole(block, order);
		error = keep(good ? &candidates : &keepers, block, order);
		if (error)
			__free_pages(block, order);
		found += good;
		cond_resched();
	}
	let_go(&candidates);
	if (error)
		let_go(&keepers);
	return error;
}

/*
 * Wait until the memory of modules' init sections is given back, which the kernel does later and
 * elsewhere, and which changes the direct map: whoever counts splits wants it to be over. It is
 * work on the queue of schedule_work(); nobody holds a lock here that such work may want.
 */
static int settle(void)
{
#ifdef HAVE_SYSTEM_PERCPU_WQ
	__flush_workqueue(system_percpu_wq);
#else
	__flush_workqueue(system_wq);
#endif
	return 0;
}

static int obey(char *command)
{
	unsigned int count, number, order;
	u64 value;

	if (!strcmp(command, "release")) {
		let_go(&held);
		return 0;
	}
	if (!strcmp(command, "gather")) {
		let_go(&keepers);
		return 0;
	}
	if (!strcmp(command, "settle"))
		return settle();
	if (!strncmp(command, "hold ", 5))
		return hold_command(command + 5);
	if (!strncmp(command, "fill ", 5) && !kstrtou64(command + 5, 0, &value))
		return fill(value);
	if (sscanf(command, "drop %u %u", &number, &count) == 2) {
		drop(number, count);
		return 0;
	}
	if (sscanf(command, "squeeze %u %u", &count, &order) == 2)
		return squeeze(count, order);
	if (sscanf(command, "scatter %u", &count) == 1)
		return scatter(count);
	if (sscanf(command, "fragment %u %u", &count, &order) == 2)
		return fragment(count, order);
	if (sscanf(command, "whole %u %u", &count, &order) == 2)
		return whole_first(count, order);
	return -EINVAL;
}

static ssize_t control_write(struct file *file, const char __user *buffer, size_t size,
			     loff_t *position)
{
	char *command;
	int error;

	if (size > LONGEST_COMMAND)
		return -E2BIG;
	command = memdup_user_nul(buffer, size);
	if (IS_ERR(command))
		return PTR_ERR(command);
	mutex_lock(&lock);
	error = obey(strim(command));
	mutex_unlock(&lock);
	kfree(command);
	return error ?: size;
}

static const struct file_operations control_fops = {
	.owner = THIS_MODULE,
	.open = nonseekable_open,
	.write = control_write,
};

static int add_query(const char *line)
{
	struct query query = { };

	if (nr_queries == MOST_QUERIES)
		return -ENOSPC;
	if (sscanf(line, "frame %lx %lu", &query.start, &query.count) == 2) {
		/* There is no direct-map address for what is not memory. */
		if (!query.count || !pfn_valid(query.start) ||
		    !pfn_valid(query.start + query.count - 1))
			return -ERANGE;
		query.frame = true;
	} else if (sscanf(line, "address %lx %lu", &query.start, &query.count) != 2) {
		return -EINVAL;
	}
	queries[nr_queries++] = query;
	return 0;
}

static ssize_t query_write(struct file *file, const char __user *buffer, size_t size,
			   loff_t *position)
{
	char *text, *rest, *line;
	int error = 0;

	if (size > LONGEST_COMMAND)
		return -E2BIG;
	text = memdup_user_nul(buffer, size);
	if (IS_ERR(text))
		return PTR_ERR(text);
	rest = text;
	mutex_lock(&lock);
	while (!error && (line = strsep(&rest, "\n")))
		if (*line)
			error = add_query(line);
	mutex_unlock(&lock);
	kfree(text);
	return error ?: size;
}

static int query_open(struct inode *inode, struct file *file)
{
	if (file->f_flags & O_TRUNC)
		nr_queries = 0;
	return single_open(file, query_show, NULL);
}

static const struct file_operations query_fops = {
	.owner = THIS_MODULE,
	.open = query_open,
	.read = seq_read,
	.write = query_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static int faults_show(struct seq_file *file, void *unused)
{
	seq_printf(file, "%u\n", READ_ONCE(nr_faults));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(faults);

static int __init patchbed_oracle_init(void)
{
	queries = kvmalloc_array(MOST_QUERIES, sizeof(*queries), GFP_KERNEL);
	if (!queries)
		return -ENOMEM;
	folder = debugfs_create_dir("patchbed", NULL);
	debugfs_create_file("control", 0200, folder, NULL, &control_fops);
	debugfs_create_file("held", 0400, folder, NULL, &held_fops);
	debugfs_create_file("contents", 0400, folder, NULL, &contents_fops);
	debugfs_create_file("faults", 0400, folder, NULL, &faults_fops);
	debugfs_create_file("query", 0600, folder, NULL, &query_fops);
	return 0;
}
module_init(patchbed_oracle_init);

static void __exit patchbed_oracle_exit(void)
{
	debugfs_remove(folder);
	let_go(&held);
	let_go(&keepers);
	kvfree(queries);
}
module_exit(patchbed_oracle_exit);

MODULE_DESCRIPTION("What the kernel itself says about the mapping of its pages");
MODULE_LICENSE("GPL");
