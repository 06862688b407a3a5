// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suite that kills the kernel in the third of its five tests, for the tests of what is then
 * reported.
 */
#include <kunit/test.h>
#include <linux/module.h>

static int *volatile nowhere;

static void first_passes(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, 1, 1);
}

static void second_fails(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, 1, 2);
}

static void third_crashes(struct kunit *test)
{
	*nowhere = 1;
}

static void fourth_is_not_run(struct kunit *test)
{
}

static void fifth_is_not_run(struct kunit *test)
{
}

static struct kunit_case halfway_cases[] = {
	KUNIT_CASE(first_passes),
	KUNIT_CASE(second_fails),
	KUNIT_CASE(third_crashes),
	KUNIT_CASE(fourth_is_not_run),
	KUNIT_CASE(fifth_is_not_run),
	{ }
};

static struct kunit_suite halfway_suite = {
	.name = "halfway",
	.test_cases = halfway_cases,
};

kunit_test_suite(halfway_suite);

MODULE_DESCRIPTION("KUnit suite that crashes half-way");
MODULE_LICENSE("GPL");
