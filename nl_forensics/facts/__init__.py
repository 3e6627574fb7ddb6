"""Pure functions over tables that rules, charts and conclusions share. They judge nothing."""
