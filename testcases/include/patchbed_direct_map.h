/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a kernel module can tell about the mapping of a page: two oracles that know nothing of each
 * other, and a way to reach the contents of a page that is not in the direct map.
 */
#ifndef PATCHBED_DIRECT_MAP_H
#define PATCHBED_DIRECT_MAP_H

#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include <asm/pgtable.h>

/* The flag is a #define in the series that bring it, so that a module can ask for it like this. */
#ifdef __GFP_UNMAPPED
#define PATCHBED_UNMAPPED __GFP_UNMAPPED
#else
#define PATCHBED_UNMAPPED ((__force gfp_t)0)
#endif

/* Orders from 0 to this one; MAX_ORDER was exclusive before 6.4 and is gone since 6.8. */
#ifdef MAX_PAGE_ORDER
#define PATCHBED_LAST_ORDER MAX_PAGE_ORDER
#else
#define PATCHBED_LAST_ORDER (MAX_ORDER - 1)
#endif

/**
 * struct patchbed_view - what the two oracles say about one kernel address
 * @present: the page table has a present entry for it (lookup_address())
 * @readable: a read through the processor succeeds (copy_from_kernel_nofault())
 * @level: where the walk ended: 1 is 4K, 2 is 2M, 3 is 1G, 0 is nothing at all
 * @write: the entry allows writes
 * @execute: the entry allows execution
 */
struct patchbed_view {
	bool present;
	bool readable;
	bool write;
	bool execute;
	unsigned int level;
};

static inline struct patchbed_view patchbed_look_at(unsigned long address)
{
	struct patchbed_view view = { };
	unsigned long word;
	pte_t *entry;

	entry = lookup_address(address, &view.level);
	if (entry) {
		unsigned long flags = pte_flags(READ_ONCE(*entry));

		view.present = flags & _PAGE_PRESENT;
		view.write = view.present && (flags & _PAGE_RW);
		view.execute = view.present && !(flags & _PAGE_NX);
	}
	view.readable = !copy_from_kernel_nofault(&word, (void *)address, sizeof(word));
	return view;
}

/* The direct-map address of a frame, whether it is mapped there or not. */
static inline struct patchbed_view patchbed_look_at_pfn(unsigned long pfn)
{
	return patchbed_look_at((unsigned long)__va(PFN_PHYS(pfn)));
}

/*
 * Map a chunk of 2^order pages somewhere else, since an unmapped page has no address of its own.
 * Undo with vunmap(). Returns NULL where memory is short.
 */
static inline void *patchbed_map(struct page *page, unsigned int order)
{
	unsigned int count = 1U << order, i;
	struct page **pages;
	void *address;

	pages = kvmalloc_array(count, sizeof(*pages), GFP_KERNEL);
	if (!pages)
		return NULL;
	for (i = 0; i < count; i++)
		pages[i] = page + i;
	address = vmap(pages, count, VM_MAP, PAGE_KERNEL);
	kvfree(pages);
	return address;
}

#endif
