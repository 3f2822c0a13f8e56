"""Load tests of a stack: Locust users of its workload classes, and the verdict on its promises."""
