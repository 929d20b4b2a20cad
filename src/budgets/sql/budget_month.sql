CREATE OR REPLACE FUNCTION budget_month(at timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$
  SELECT date_trunc('month', at, 'UTC')
$$;
